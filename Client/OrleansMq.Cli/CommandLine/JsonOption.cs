using System.CommandLine;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--json</c>: machine-readable output.</summary>
internal static class JsonOption
{
    /// <summary>Creates the option and adds it to a command.</summary>
    public static Option<bool> AddTo(Command command, string description = "Write the result as JSON.")
    {
        var json = new Option<bool>("--json") { Description = description };
        command.Options.Add(json);
        return json;
    }
}
