"""Errors in a study file, or in a change of one on the command line."""

from bakeoff.explanations.record import Explanation

EXPLANATIONS = (
    Explanation(
        code="BK101",
        title="No such study",
        meaning="A command was given a path where there is no study file, or a name that no shipped study has.",
        remedy="Check the spelling and the current folder. `bakeoff list studies` shows the shipped studies; `bakeoff "
        "init FOLDER` writes a study file for a folder of images.",
        example="quickstrat: no such file, and no shipped study of this name (quickstart). Did you mean 'quickstart'?",
    ),
    Explanation(
        code="BK102",
        title="The study file cannot be read",
        meaning="The file is not the text of one YAML mapping: the syntax is wrong, it is empty or too large, a key "
        "stands twice, or it contains something that is no plain value. Study files are read without YAML's tags, so "
        "that none can run code.",
        remedy="Correct the line that the message names. Indent with spaces, quote texts that contain `: ` or `#`.",
        example="study.yaml:3: not YAML: indented with a tab, use spaces",
    ),
    Explanation(
        code="BK103",
        title="Unknown field",
        meaning="A field does not exist at this place. Fields that are not known are errors, because a misspelled "
        "setting would otherwise silently keep its default.",
        remedy="Use one of the fields that the message lists. [recipes.md](recipes.md) has all fields of a recipe, "
        "[studies.md](studies.md) those of a study. `bakeoff init` adds a schema with which editors complete fields.",
        example="study.yaml:7: recipe.batchsize: unknown field 'batchsize', allowed: batch_size, epochs. Did you mean "
        "'batch_size'?",
    ),
    Explanation(
        code="BK104",
        title="Unknown name",
        meaning="Nothing has the name that was given: no optimizer, dataset, metric, arm, block, table or format.",
        remedy="Use one of the names that the message lists. `bakeoff list KIND` shows all names of a kind. A name "
        "from another package needs that package to be installed in the same environment.",
        example="study.yaml:12: recipe.optimizer: unknown optimizer 'adamm'. Allowed: sgd, adam, adamw, ... Did you "
        "mean 'adam'?",
    ),
    Explanation(
        code="BK105",
        title="Value not allowed",
        meaning="A value has the wrong type or lies outside its range.",
        remedy="Write a value that the message allows. Shares such as accuracies go from 0 to 1; a margin can also be "
        "written in points, as `'0.5 points'`.",
        example="study.yaml:5: recipe.optimizer.learning_rate: given -0.1, allowed a number above 0.",
    ),
    Explanation(
        code="BK106",
        title="Missing field",
        meaning="A field without a default was left out.",
        remedy="Give it a value. A study needs `question`, a network in its recipe or in every arm, and `arms` or "
        "`search`.",
        example="study.yaml:1: recipe.network: missing: it has no default, give it a value",
    ),
    Explanation(
        code="BK107",
        title="Settings contradict each other",
        meaning="Every value is allowed, but not together: both arms and a search, a race with folds, steps where no "
        "arm builds on another.",
        remedy="Leave out one of the two settings, as the message says.",
        example="study.yaml:9: search: arms and search are both given: a search proposes the arms, leave one out",
    ),
    Explanation(
        code="BK108",
        title="Blocks or arms cannot be combined",
        meaning="An axis of `blocks` or `arms` is empty or malformed, cases build on each other in a circle, two arms "
        "have the same name or the same recipe, or an arm changes what all arms must share.",
        remedy="An axis is either one field with a list of values, or several named cases with their changes. Arms may "
        "change the recipe only; vary images in `blocks`.",
        example="study.yaml:8: arms.0.data.name: data is the same for all arms; arms may change the recipe only. Vary "
        "it in blocks.",
    ),
    Explanation(
        code="BK109",
        title="A name that cannot be told from another",
        meaning="The name of a study, block, arm, vote or group contains invisible characters, or looks like another.",
        remedy="Type the name anew, without blanks at its ends.",
        example="study.yaml:6: arms.0.adam : 'adam ' has invisible blanks: remove those at its ends, and all but one "
        "inside",
    ),
    Explanation(
        code="BK110",
        title="A change of the study is not possible",
        meaning="`--set` names a place that the study does not have, or is not of the form PATH=VALUE, or `--quick` "
        "was "
        "given for a study without a quick version.",
        remedy="`bakeoff show STUDY` prints the study file; paths follow its fields and indices, joined by dots, as in "
        "`--set recipe.epochs=3` or `--set arms.0=[adam]`.",
        example="--set: given 'recipe.epochs', allowed PATH=VALUE, for example recipe.epochs=3",
    ),
)
