"""What the README shows of the server runs as it stands, apart from the address and the key."""

import json
import pathlib
import re
import subprocess

README = pathlib.Path(__file__).parent.parent.parent / "README.md"
ADDRESS = "http://127.0.0.1:8080"


def blocks(language):
    section = README.read_text().split("\n## A server\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def test_the_curl_line_is_answered_with_a_vector(server):
    [block] = blocks("")
    curl = block[block.index("curl ") :].strip().replace(ADDRESS, server.base)
    command = f"{curl} --fail --silent -H 'Authorization: Bearer {server.key}'"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(json.loads(run.stdout)["data"][0]["embedding"]) == 128


def test_the_python_lines_give_a_vector(server):
    [block] = blocks("python")
    program = block.replace(ADDRESS, server.base).replace("'none'", repr(server.key))
    lines = program.strip().splitlines()
    names = {}
    exec("\n".join(lines[:-1]), names)
    answer = eval(lines[-1], names)
    assert len(answer.data[0].embedding) == 128
