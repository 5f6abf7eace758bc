"""Runs the command: `python -m rasteret_sql`, the same as `rasteret-sql`."""

import sys

from rasteret_sql.cli.main import main

sys.exit(main())
