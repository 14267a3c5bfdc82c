"""A person's own keys: `keys.toml`, one command's name and its keys a line."""

import os
from collections.abc import Mapping
from pathlib import Path

from core.errors import UserError
from tui.commands import ALL


def keys_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where `keys.toml` is looked for: in the folder that XDG gives for configuration."""
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "~")).expanduser() / ".config"
    return Path(home) / "ddpm-tui" / "keys.toml"


def read_keymap(path: Path) -> dict[str, str]:
    """Keys by command, for example ``"run.stop" = "s"`` or ``"run.stop" = ["s", "ctrl+x"]``.

    Returns:
        What differs from the usual keys; empty when there is no such file.

    Raises:
        UserError: the file is damaged, or names a command that does not exist.
    """
    if not path.exists():
        return {}
    import difflib

    from core.config.load import flatten, read_toml

    known = {command.id for command in ALL}
    keymap: dict[str, str] = {}
    for name, keys in flatten(read_toml(path)).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UserError(f"{path}: unknown command {name}; did you mean {near}?")
        listed = [keys] if isinstance(keys, str) else keys
        if (
            not isinstance(listed, list)
            or not listed
            or not all(
                isinstance(key, str) and (key == "," or all(map(str.strip, key.split(",")))) for key in listed
            )
        ):
            raise UserError(f'{path}: {name} = {keys!r}: expected a key such as "s", or a list of them')
        keymap[name] = ",".join("comma" if key == "," else key for key in listed)
    return keymap
