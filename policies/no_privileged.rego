# No container has the whole host in its hands.
package trueup.no_privileged

import rego.v1

about := {
	"level": "advice",
	"says": "no privileged containers, no capability that amounts to it, no switched-off confinement",
}

deny contains {"app": app.key, "msg": "it is privileged: name the single capabilities and devices it needs"} if {
	some app in input.apps
	app.change in {"create", "update"}
	app.after.container.privileged
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	some capability in app.after.container.cap_add
	upper(capability) in {"ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"}
	msg := sprintf("the capability %s is as good as privileged", [capability])
}

deny contains {"app": app.key, "msg": msg} if {
	some app in input.apps
	app.change in {"create", "update"}
	some option in app.after.container.security_opt
	endswith(option, "unconfined")
	msg := sprintf("the security option %s switches confinement off", [option])
}
