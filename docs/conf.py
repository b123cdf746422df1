"""How Sphinx makes the pages from this folder, the README and the docstrings; `make docs` runs it."""

import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "docs" / "extensions")]

from DeepSegmentLib import __version__  # noqa: E402 - the tree's own, whatever is installed

project = "DeepSegment"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated_pages"]
exclude_patterns = ["extensions"]
default_role = "py:obj"
add_module_names = False
highlight_language = "none"

myst_heading_anchors = 4

# What is big or belongs to a host is not needed to read docstrings: the pages are built without it.
autodoc_mock_imports = ["torch", "skimage", "safetensors", "slicer", "vtk", "highdicom"]
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them

html_theme = "pydata_sphinx_theme"
html_title = f"DeepSegment {__version__}"
html_logo = "../DeepSegment/Resources/Icons/DeepSegment.png"
html_copy_source = html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_sidebars = {page: [] for page in ("index", "quick-start", "tutorial", "command")}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
