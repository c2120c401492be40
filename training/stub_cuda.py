"""Makes PyTorch from PyPI importable on a machine without CUDA's libraries.

PyPI's Linux wheel of torch links the CUDA libraries, which are another 3 GB of wheels that a CPU
never uses. This builds, beside torch's own libraries, empty ones of the same names and symbol
versions: they satisfy the dynamic linker, and answer every call with 100, cudaErrorNoDevice.

usage: python training/stub_cuda.py     (needs readelf and a C compiler)
"""
import collections
import importlib.util
import pathlib
import re
import subprocess
import tempfile

lib = pathlib.Path(importlib.util.find_spec("torch").submodule_search_locations[0]) / "lib"
FOREIGN = re.compile(r"lib(cu|nv|nccl)")
needed = set()
symbols = collections.defaultdict(lambda: collections.defaultdict(set))  # file -> version -> names
unversioned = set()
for shared in lib.glob("*.so"):
    dynamic = subprocess.run(["readelf", "-Wd", shared], capture_output=True, text=True, check=True).stdout
    mine = [n for n in re.findall(r"NEEDED.*\[(.+?)\]", dynamic) if FOREIGN.match(n)]
    needed.update(mine)
    versions = subprocess.run(["readelf", "-WV", shared], capture_output=True, text=True, check=True).stdout
    owner, file = {}, None
    for line in versions.splitlines():
        if found := re.search(r"File: (\S+)", line):
            file = found[1]
        elif (found := re.search(r"Name: (\S+)", line)) and file:
            owner[found[1]] = file
    table = subprocess.run(["readelf", "-W", "--dyn-syms", shared], capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        parts = line.split()
        if len(parts) < 8 or parts[6] != "UND":
            continue
        name, _, version = parts[7].partition("@")
        if version and FOREIGN.match(owner.get(version, "")):
            symbols[owner[version]][version].add(name)
        elif not version and re.match(r"_?(cu[A-Z]|cud|cub|cuf|cus|nv|nccl)", name):
            unversioned.add(name)
for file in sorted(needed):
    if (lib / file).exists():
        continue
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        names = set().union(*symbols[file].values()) | unversioned
        (folder / "s.c").write_text("".join(f"long {n}(void) {{ return 100; }}\n" for n in sorted(names)))
        script = "".join(f"{v} {{ global: {'; '.join(sorted(n))}; }};\n" for v, n in symbols[file].items())
        (folder / "s.map").write_text(script or "NONE { };\n")
        arguments = ["cc", "-w", "-fno-builtin", "-shared", "-fPIC", folder / "s.c", "-o", lib / file, f"-Wl,-soname,{file}"]
        subprocess.run(arguments + ([f"-Wl,--version-script,{folder / 's.map'}"] if script else []), check=True)
        print("stub", file, len(names))
