"""Sources of policies, behind one interface, `model.PolicySource`: a directory (`watcher`), a Git
repository (`git/`) or a bundle (`bundle/`)."""

from policyd.sources.policies.model import Changed as Changed
from policyd.sources.policies.model import LookFigures as LookFigures
from policyd.sources.policies.model import PoliciesUnreadable as PoliciesUnreadable
from policyd.sources.policies.model import PolicyFiles as PolicyFiles
from policyd.sources.policies.model import PolicySource as PolicySource
from policyd.sources.policies.model import Provenance as Provenance
from policyd.sources.policies.steps import Step as Step
from policyd.sources.policies.steps import StepFigures as StepFigures
from policyd.sources.policies.steps import Steps as Steps
from policyd.sources.policies.watcher import DirectorySettings as DirectorySettings
from policyd.sources.policies.watcher import DirectorySource as DirectorySource
