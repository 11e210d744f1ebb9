# The stricter rules hold in production: nobody leaves them by saying that it is none any more.
package trueup.production_kept

import rego.v1

about := {"level": "overridable", "says": "an environment that is production stays production"}

deny contains {"msg": sprintf("the environment %s would no longer be production, and the stricter rules would end", [name])} if {
	some name, environment in input.environments
	environment.before.production
	not environment.after.production
}
