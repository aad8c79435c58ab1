using System.CommandLine;

namespace OrleansMq.Cli.CommandLine;

/// <summary><c>--json</c>: for programs.</summary>
internal static class JsonOption
{
    /// <summary>A new option, added to a command.</summary>
    public static Option<bool> AddTo(Command command, string description = "Write the result as JSON.")
    {
        var json = new Option<bool>("--json") { Description = description };
        command.Options.Add(json);
        return json;
    }
}
