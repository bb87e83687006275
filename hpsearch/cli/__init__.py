"""The command line: commands are thin, they call `hpsearch.assemble` and print.

entry.py      errors to exit codes
app.py        the commands and their options
run.py        run, check, lr-find: what starts workers
studies.py    status, trials, best, sync: what is done with studies
export.py     files for deployment
package.py    a folder ready to deploy
serve.py      a model over HTTP
listings.py   models, datasets, schema: what is built in
progress.py   a search while it runs: plain lines, or a live view in a terminal
tables.py     studies and spaces for people
documents.py  the same for programs, as JSON and CSV
"""

from hpsearch.cli.entry import main

__all__ = ["main"]
