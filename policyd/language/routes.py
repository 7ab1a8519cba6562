"""Routes: from an HTTP method and path to an action on a resource.

Input: the `route` declarations of one API and what it declares. Output: routes whose parameters
are facts and of which one path never fits two alike. Where two fit, the first segment in which they
differ decides, a literal before a parameter; so two routes may not have the same segments but for
the parameters' names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from policyd.diagnostics import Diagnostic, Label, Source, Span
from policyd.language import nodes, policy
from policyd.language.action_attributes import filled_in_vain, lacked_by
from policyd.language.paths import problem_of_literal, problem_of_whole
from policyd.language.reporter import Report
from policyd.language.symbols import Located, Symbols
from policyd.language.types import RESOURCE_ID, Origin, Type

#: RFC 9110, section 9, and RFC 5789.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")
_OPEN = re.compile(r"[{}]")
_ID = policy.Attribute(RESOURCE_ID, optional=True, docs=(), path=(RESOURCE_ID.name,))


class RouteChecker:
    """Checks the routes of one API."""

    def __init__(self, symbols: Symbols, report: Report) -> None:
        self._symbols = symbols
        self._report = report
        self._known: dict[tuple[str, ...], Located[nodes.Route]] = {}

    def check(self) -> tuple[policy.Route, ...]:
        """Return the routes, sorted by template and method."""
        routes = [self._route(one) for one in self._symbols.routes]
        return tuple(
            sorted(
                (route for route in routes if route is not None),
                key=lambda route: (route.template, route.method),
            )
        )

    def _route(self, one: Located[nodes.Route]) -> policy.Route | None:
        node = one.node
        self._check_method(node.method, one.source)
        resource = self._resource(node, one.source)
        segments = self._segments(node, resource, one.source)
        if segments is None:
            return None
        self._check_alone(one, segments)
        if resource is not None:
            self._check_filled(one, resource, segments)
        return policy.Route(
            node.method.text, node.template.value, segments,
            node.action.text, node.resource.text, node.docs, one.source, node.span,
        )  # fmt: skip

    def _check_method(self, method: nodes.Name, source: Source) -> None:
        if method.text not in METHODS:
            near = self._symbols.closest(method.text, METHODS)
            upper = method.text.upper()
            self._report(
                Diagnostic(
                    "P1026",
                    f"unknown method `{method.text}`",
                    Label(source, method.span),
                    help=f"did you mean `{upper if upper in METHODS else near}`?"
                    if near or upper in METHODS
                    else "the methods are " + ", ".join(f"`{name}`" for name in METHODS),
                )
            )

    def _resource(self, node: nodes.Route, source: Source) -> policy.ResourceType | None:
        resource = self._symbols.resources.get(node.resource.text)
        if resource is None:
            self._symbols.report_unknown(
                self._report, "P1001", "resource", node.resource.text,
                Label(source, node.resource.span, "not declared"), self._symbols.resources,
            )  # fmt: skip
        elif node.action.text not in resource.actions:
            self._symbols.report_unknown(
                self._report, "P1002", "action", node.action.text,
                Label(source, node.action.span, "not declared"), resource.actions,
                on=f" on resource `{resource.name}`",
            )  # fmt: skip
        return resource

    # -- templates ---------------------------------------------------------------------------

    def _segments(
        self, node: nodes.Route, resource: policy.ResourceType | None, source: Source
    ) -> tuple[policy.Segment, ...] | None:
        template = node.template
        text = template.value
        if text == "/":
            return ()
        problem = problem_of_whole(text)
        if problem is not None:
            self._bad_template(template, source, problem)
            return None
        segments: list[policy.Segment] = []
        filled: set[str] = set()
        for part in text[1:].split("/"):
            parameter = _PARAMETER.fullmatch(part)
            if parameter is not None:
                found = self._parameter(parameter[1], resource, node, source)
                if parameter[1] in filled:
                    self._bad_template(
                        template, source, f"`{{{parameter[1]}}}` is given twice in it"
                    )
                    return None
                filled.add(parameter[1])
                segments.append(policy.Parameter(parameter[1], found.fact, found.path))
                continue
            problem = _segment_problem(part)
            if problem is not None:
                self._bad_template(template, source, problem)
                return None
            segments.append(part)
        return tuple(segments)

    def _parameter(
        self,
        name: str,
        resource: policy.ResourceType | None,
        node: nodes.Route,
        source: Source,
    ) -> policy.Attribute:
        """What a parameter fills. What is wrong is reported, and stands as the id."""
        template = node.template
        if name == RESOURCE_ID.name or resource is None:
            return _ID
        found = next((one for one in resource.attributes if one.fact.name == name), None)
        if found is None:
            self._symbols.report_unknown(
                self._report, "P1005", "attribute", name,
                self._label(template, f"{{{name}}}", source),
                chain(("id",), (one.fact.name for one in resource.attributes)),
                on=f" on resource `{resource.name}`",
                otherwise="a parameter is `{id}` or an attribute of the resource",
            )  # fmt: skip
            return _ID
        if lacked_by(found, (node.action.text,), resource):
            label = self._label(template, f"{{{name}}}", source)
            self._report(filled_in_vain(found, node.action.text, resource, label))
        if found.fact.type.element is not None or found.fact.type is Type.LIST:
            self._report(
                Diagnostic(
                    "P2015",
                    f"a path cannot fill `{name}`, a `{found.fact.type_name}`",
                    self._label(template, f"{{{name}}}", source),
                    help="one segment is one value",
                )
            )
        return found

    def _label(self, template: nodes.Text, part: str, source: Source) -> Label:
        """The place of a part of a template, or the template where escapes hide the place."""
        start = source.text.find(part, template.span.start, template.span.end)
        if start < 0:
            return Label(source, template.span)
        return Label(source, Span(start, start + len(part)))

    def _bad_template(self, template: nodes.Text, source: Source, why: str) -> None:
        self._report(
            Diagnostic(
                "P1027",
                f'"{template.value}" is not a path template',
                Label(source, template.span),
                help=f'{why}; an example is `"/patients/{{id}}"`',
            )
        )

    # -- what a route needs --------------------------------------------------------------------

    def _check_alone(self, one: Located[nodes.Route], segments: Sequence[policy.Segment]) -> None:
        shape = tuple(segment if isinstance(segment, str) else "{}" for segment in segments)
        key = (one.node.method.text, *shape)
        first = self._known.setdefault(key, one)
        if first is not one:
            self._report(
                Diagnostic(
                    "P1028",
                    f"two routes match the same paths of `{one.node.method.text}`",
                    one.label(one.node.template.span, "this one"),
                    (first.label(first.node.template.span, "and this one"),),
                    help="they have to differ in a literal segment; remove one of the two",
                )
            )

    def _check_filled(
        self,
        one: Located[nodes.Route],
        resource: policy.ResourceType,
        segments: Sequence[policy.Segment],
    ) -> None:
        filled = {
            segment.fact.name for segment in segments if isinstance(segment, policy.Parameter)
        }
        demanded = [
            attribute.fact
            for attribute in (*resource.attributes, *self._symbols.context.values())
            if not attribute.optional and attribute.is_for(one.node.action.text)
        ]
        lacking = [
            fact.path
            for fact in demanded
            if fact.origin is Origin.CONTEXT or fact.name not in filled
        ]
        if lacking:
            self._report(
                Diagnostic(
                    "P2016",
                    f"the route does not fill `{lacking[0]}`, which every request needs",
                    one.label(one.node.template.span),
                    help="a path has only its segments: make it optional (`?`), or "
                    "check this request from the service itself",
                )
            )


def _segment_problem(part: str) -> str | None:
    if part and _OPEN.search(part):
        return "a parameter is a whole segment, and its name is a name: `{id}`"
    return problem_of_literal(part)
