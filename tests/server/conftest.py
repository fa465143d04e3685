"""The commands speak English here, whatever the machine's language: before they are imported, for they say it then."""

from __future__ import annotations

import os

os.environ["VISIOPONT_LANGUAGE"] = "en-CA"
