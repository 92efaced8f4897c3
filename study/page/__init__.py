"""Build one HTML page on which readers touch hidden states and browse the stored runs.

The page is a single file that asks nothing of any network. Python gathers what it shows from stored
results (`networks`, `post`, `runs`), packs it (`pack`), and joins it with the files in `web`
(`join`). All that moves on the page is computed in the reader's browser.
"""

from study.page.join import MODULES, WEB, joined
from study.page.networks import networks_in
from study.page.pack import packed, unpacked
from study.page.post import plateau_in, post_in
from study.page.runs import runs_in

__all__ = ["MODULES", "WEB", "joined", "networks_in", "packed", "plateau_in"]
__all__ += ["post_in", "runs_in", "unpacked"]
