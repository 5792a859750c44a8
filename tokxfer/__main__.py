"""`python -m tokxfer` is `tokxfer`."""

from tokxfer.cli.main import main

main()
