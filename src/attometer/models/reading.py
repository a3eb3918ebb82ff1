"""Reading the keys of a configuration: each is checked, and what became of it is kept for `--check`."""

from collections.abc import Iterable, Mapping
from typing import Any

from attometer.errors import AttometerError, nearest
from attometer.models.layer import Check
from attometer.models.no_cost import EVERYWHERE, NO_COST

REQUIRED = object()
# A size of a real model fits here with room to spare; a larger number is a broken file, and a slow count.
LARGEST = 10**12


class Reading:
    """One JSON object of a configuration file; `where` is its path in the file, as `$.text_config`."""

    def __init__(self, values: Mapping[str, Any], path: str, where: str = "$", shared: "Reading | None" = None):
        self.values, self.path, self.where = values, path, where
        # What transformers' class has for a missing key, where the reader leaves that to `data/class_defaults.json`.
        self.of_class: Mapping[str, Any] = {}
        self._read: dict[str, None] = {} if shared is None else shared._read
        self._defaults: dict[str, str] = {} if shared is None else shared._defaults
        self._ignored: dict[str, None] = {} if shared is None else shared._ignored
        self._notes: list[str] = [] if shared is None else shared._notes
        self._unread: dict[str, None] = {} if shared is None else shared._unread

    def error(self, key: str, message: str) -> AttometerError:
        """Build the error that names the file and the key."""
        return AttometerError(f"{self.path}: {self.where}.{key} {message}")

    def has(self, *keys: str) -> bool:
        """Whether any of `keys` is present and not null."""
        return any(self.values.get(key) is not None for key in keys)

    def get(self, keys: tuple[str, ...], default: Any) -> tuple[str, Any]:
        """Return the first present key of `keys` and its value, or the default, noting which."""
        present = [key for key in keys if key in self.values]
        for key in present:
            if f"{self.where}.{key}" not in self._defaults:
                self._read[f"{self.where}.{key}"] = None
        # Several names of one size must agree; null says nothing.
        given = [key for key in present if self.values[key] is not None] or present
        for other in given[1:]:
            if self.values[other] != self.values[given[0]]:
                raise self.error(
                    other,
                    f"is {_short(self.values[other])}, but {given[0]} is {_short(self.values[given[0]])}: they name one thing",
                )
        if given:
            return given[0], self.values[given[0]]
        default = next((self.of_class[key] for key in keys if key in self.of_class), default)
        if default is REQUIRED:
            near = nearest(keys[0], self.values) if len(self.values) < 200 else ""
            hint = near if "did you mean" in near else ""
            raise self.error(keys[0], f"is missing, and nothing certain stands for it{hint}")
        self._defaults[f"{self.where}.{keys[0]}"] = _short(default)
        return keys[0], default

    def integer(self, *keys: str, default: Any = REQUIRED, least: int = 1) -> int:
        """Return a whole number of at least `least`."""
        key, value = self.get(keys, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"must be a whole number, got {_short(value)}")
        if not least <= value <= LARGEST:
            raise self.error(key, f"must be between {least} and {LARGEST}, got {_short(value)}")
        return value

    def optional(self, *keys: str, default: int | None = None, least: int = 1) -> int | None:
        """Return a whole number, or None where the file says null or nothing."""
        if self.get(keys, default)[1] is None:
            return None
        return self.integer(*keys, default=default, least=least)

    def flag(self, *keys: str, default: Any = REQUIRED) -> bool:
        """Return true or false; null is false, as Python's None is in transformers."""
        key, value = self.get(keys, default)
        value = False if value is None else value
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, got {_short(value)}")
        return value

    def number(self, *keys: str, default: Any = REQUIRED) -> float:
        """Return a finite number greater than zero."""
        key, value = self.get(keys, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST:
            raise self.error(key, f"must be a number greater than 0, got {_short(value)}")
        return float(value)

    def choice(self, *keys: str, options: Iterable[str], default: Any = REQUIRED) -> str:
        """Return one of `options`."""
        key, value = self.get(keys, default)
        known = list(options)
        if not isinstance(value, str) or value not in known:
            text = value if isinstance(value, str) else _short(value)
            raise self.error(key, f"is {_short(value)}, which is not modelled{nearest(str(text)[:80], known)}")
        return value

    def each(self, key: str, length: int, options: Iterable[Any] | None = None) -> list[Any] | None:
        """Return the list at `key`, one entry per layer, or None where the file says null or nothing."""
        if self.values.get(key) is None:
            return None
        _, value = self.get((key,), None)
        if not isinstance(value, list):
            raise self.error(key, f"must be a list with one entry per layer, got {_short(value)}")
        if len(value) < length:
            raise self.error(key, f"has {len(value)} entries for {length} layers")
        known = None if options is None else list(options)
        for index, entry in enumerate(value[:length]):
            if known is not None and not any(entry == o and type(entry) is type(o) for o in known):
                raise self.error(
                    f"{key}[{index}]", f"is {_short(entry)}, which is not modelled; known: {_short(known)}"
                )
        return value[:length]

    def overrides(self, layers: int, keys: tuple[str, ...]) -> dict[int, dict[str, int]]:
        """Return `per_layer_config`: by layer index, whole numbers for some of `keys`; any other key is refused."""
        if not self.has("per_layer_config"):
            self.ignore("per_layer_config")
            return {}
        section, read = self.section("per_layer_config"), {}
        for text in section.values:
            if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) >= layers:
                raise section.error(text[:80], f"is no layer: there are {layers}")
            inner = section.section(text)
            for key in inner.values:
                if key not in keys:
                    raise inner.error(key[:80], f"is not modelled layer by layer{nearest(key[:80], keys)}")
            read[int(text)] = {key: inner.integer(key) for key in inner.values}
        return read

    def must(self, key: str, value: Any, default: Any) -> None:
        """Refuse any value of `key` other than `value`: another would change the cost."""
        found_key, found = self.get((key,), default) if key in self.values else (key, default)
        found = value if found is None and not value else found
        if found != value:
            raise self.error(found_key, f"is {_short(found)}; only {_short(value)} is modelled")

    def section(self, key: str) -> "Reading":
        """Return the object at `key`."""
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be an object, got {_short(value)}")
        self._read[f"{self.where}.{key}"] = None
        return Reading(value, self.path, f"{self.where}.{key}", self)

    def take(self, *others: "Reading") -> None:
        """Add what other readings of the same file found to the account."""
        for other in others:
            self._read |= other._read
            self._defaults |= other._defaults
            self._ignored |= other._ignored
            self._notes.extend(other._notes)
            self._unread |= other._unread

    def ignore(self, *keys: str) -> None:
        """Note keys that cost nothing in this family."""
        for key in keys:
            if key in self.values:
                self._ignored[f"{self.where}.{key}"] = None

    def default(self, key: str, value: Any) -> None:
        """Note a value that stands for a missing key."""
        self._defaults[f"{self.where}.{key}"] = _short(value)

    def note(self, text: str) -> None:
        """Keep a sentence for `--check`."""
        self._notes.append(text)

    def close(self) -> None:
        """Account for every key of this object that nobody asked for."""
        for key, value in self.values.items():
            name = f"{self.where}.{key}"
            if name in self._read or name in self._ignored or name in self._defaults:
                continue
            if key in EVERYWHERE and value not in (None, {}):
                raise self.error(key, f"is not modelled in this family, and {EVERYWHERE[key]}")
            (self._ignored if key in NO_COST else self._unread)[name] = None

    def check(self) -> Check:
        """Return what became of each key."""
        return Check(
            tuple(self._read),
            tuple(self._defaults.items()),
            tuple(key for key in self._ignored if key not in self._read),
            tuple(self._unread),
            tuple(self._notes),
        )


def _short(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
