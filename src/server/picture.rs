//! Pictures in a request: base64, bare or as a `data:` URL.
//!
//! Addresses are never fetched. A server that fetches what a stranger names reaches into the
//! network it stands in (request forgery), and a list of forbidden addresses is no defence against
//! names that resolve differently twice. The sender has the picture or can fetch it.

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::error::{ApiError, FieldError};

/// The usual alphabet, with or without padding at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a picture; what they hold is not looked at.
///
/// - `field`: where it stands, for errors
pub fn read(field: &str, content: &str, max_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let fail = |kind, message: String| Err(FieldError::new(field, kind, message, None).into());
    let encoded = match content.split_at_checked(5) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("data:") => {
            match rest.split_once(',') {
                Some((head, data)) if is_base64(head) => data,
                _ => {
                    let message = "a data: URL must be data:TYPE;base64,DATA".into();
                    return fail("value", message);
                }
            }
        }
        _ if is_address(content) => {
            return Err(ApiError::new(
                400,
                "INPUT_IMAGE_URL_UNSUPPORTED",
                format!(
                    "{field}: this server fetches no addresses; send the picture as base64 or as a data: URL"
                ),
            ));
        }
        _ => content,
    };
    // Encoders of mail break lines.
    let encoded: Vec<u8> = encoded
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let n_bytes = encoded.len() / 4 * 3;
    if n_bytes > max_bytes.saturating_add(2) {
        let message = format!("has about {n_bytes} bytes; at most {max_bytes} are taken");
        return fail("range", message);
    }
    match BASE64.decode(encoded) {
        Ok(bytes) if bytes.is_empty() => fail("value", "is empty".into()),
        Ok(bytes) if bytes.len() > max_bytes => {
            let n_bytes = bytes.len();
            let message = format!("has {n_bytes} bytes; at most {max_bytes} are taken");
            fail("range", message)
        }
        Ok(bytes) => Ok(bytes),
        Err(error) => fail("value", format!("is no base64: {error}")),
    }
}

/// `image/png;base64`
fn is_base64(head: &str) -> bool {
    let mut parameters = head.split(';').skip(1);
    parameters.any(|parameter| parameter.trim().eq_ignore_ascii_case("base64"))
}

/// `https://...`; base64 has no colon.
fn is_address(content: &str) -> bool {
    content.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_bare_in_lines_unpadded_and_as_a_data_url() {
        for content in [
            "aGVsbG8=",
            "aGVsbG8",
            "aGVs\r\nbG8=\n",
            "data:image/png;base64,aGVsbG8=",
            "DATA:;base64,aGVsbG8",
            "data:image/svg+xml;charset=utf-8;BASE64,aGVsbG8=",
        ] {
            assert_eq!(
                read("f", content, 5).as_deref(),
                Ok(&b"hello"[..]),
                "{content}"
            );
        }
    }

    #[test]
    fn an_address_is_never_fetched() {
        for content in [
            "https://a.example/b.png",
            "HTTP://a",
            "file:///etc/passwd",
            "s3://a",
        ] {
            let error = read("input.0.image", content, 100).unwrap_err();
            assert_eq!(
                (error.status, error.code),
                (400, "INPUT_IMAGE_URL_UNSUPPORTED")
            );
        }
    }

    #[test]
    fn anything_else_is_422_and_names_the_field() {
        for (content, said) in [
            ("", "is empty"),
            ("data:image/png;base64,", "is empty"),
            ("data:image/png,abc", "data:TYPE;base64,DATA"),
            ("data:", "data:TYPE;base64,DATA"),
            ("a cat!", "no base64"),
            ("../etc", "no base64"),
            ("aGVsbG8hIQ==", "at most 5"),
            (&"A".repeat(1000), "at most 5"),
        ] {
            let error = read("input.0.image", content, 5).unwrap_err();
            assert_eq!(error.status, 422, "{content}");
            assert_eq!(error.errors[0].field, "input.0.image");
            assert!(error.detail.contains(said), "{content}: {}", error.detail);
        }
    }
}
