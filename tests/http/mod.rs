//! As much of an HTTP client as the tests of the server need: one request per connection.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// Far more than anything here takes: an answer that never comes fails instead of hanging.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The `code` of an error, after checking that the answer has all that every error has.
    #[track_caller]
    pub fn error_code(&self) -> String {
        let json = self.json();
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(
            json["request_id"].as_str(),
            self.header("x-request-id"),
            "{json}"
        );
        assert!(
            json["detail"].as_str().is_some_and(|it| !it.is_empty()),
            "{json}"
        );
        assert_eq!(json.get("errors").is_some(), self.status == 422, "{json}");
        json["code"].as_str().expect("a code").to_owned()
    }
}

/// A connection on which a request has been sent.
pub struct Sent(pub TcpStream);

impl Sent {
    /// Reads the answer to its end.
    pub fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("an answer");
        parse(&bytes)
    }
}

/// Sends a request and does not wait for the answer.
pub fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Sent {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !headers.iter().any(|(name, _)| *name == "transfer-encoding") {
        head += &format!("content-length: {}\r\n", body.len());
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).expect("the head is sent");
    // A server that refuses a body may close before it has read it.
    let _ = stream.write_all(body);
    Sent(stream)
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, "GET", path, &[], b"").answer()
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Asks for embeddings; `model` is filled in where it is absent.
pub fn embed_with(address: SocketAddr, headers: &[(&str, &str)], body: &Value) -> Sent {
    let mut body = body.clone();
    if body.is_object() && body.get("model").is_none() {
        body["model"] = "jina-embeddings-v4".into();
    }
    let headers = [&[JSON], headers].concat();
    let body = body.to_string();
    send(address, "POST", "/v1/embeddings", &headers, body.as_bytes())
}

pub fn embed(address: SocketAddr, body: &Value) -> Answer {
    embed_with(address, &[], body).answer()
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
    let text = String::from_utf8_lossy(bytes);
    let end = end.unwrap_or_else(|| panic!("no head in {text:?}"));
    let head = String::from_utf8(bytes[..end].to_vec()).expect("ASCII");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_lowercase(), value.to_owned())
    });
    let answer = Answer {
        status: status.and_then(|it| it.parse().ok()).expect("a status"),
        headers: headers.collect(),
        body: bytes[end + 4..].to_vec(),
    };
    if let Some(length) = answer.header("content-length") {
        let cut = "the answer is cut off";
        assert_eq!(length, answer.body.len().to_string(), "{cut}");
    }
    answer
}
