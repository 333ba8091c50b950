"""The report: a pure function of audit logs and a verdict to HTML, JSON, a model-card section and JUnit."""

from chunfen.report.card import model_card
from chunfen.report.junit import junit
from chunfen.report.render import render_html
from chunfen.report.write import report_json, write_report

__all__ = ["junit", "model_card", "render_html", "report_json", "write_report"]
