# A reviewer should see that the rules themselves change; they count from the revision after this one.
package trueup.policy_changes

import rego.v1

about := {"level": "advice", "says": "a change of the repository's own rules is pointed out"}

warn contains {"msg": "the repository's own policies change; the new ones judge the revisions after this one"} if {
	input.policies_changed
}
