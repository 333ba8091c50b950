# Shortcuts for those who have `just`; everything goes through the same script.
default: test

# all checks and tests
test *args:
    bash yichuidingyin.sh test {{args}}

# style, types, layers only
lint:
    .venv/bin/python -m ruff check .
    .venv/bin/python -m ruff format --check .
    .venv/bin/python -m mypy
    .venv/bin/lint-imports

# put code into shape
format:
    .venv/bin/python -m ruff check --fix .
    .venv/bin/python -m ruff format .
