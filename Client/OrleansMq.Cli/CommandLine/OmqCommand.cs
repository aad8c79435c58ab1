using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace OrleansMq.Cli.CommandLine;

/// <summary>A command whose help ends with examples.</summary>
internal sealed class OmqCommand(string name, string description, params string[] examples) : Command(name, description)
{
    /// <summary>Complete, working command lines.</summary>
    public IReadOnlyList<string> Examples { get; } = examples;
}

/// <summary>Writes a command's help, followed by its examples.</summary>
internal sealed class HelpWithExamples(HelpAction help, IReadOnlyList<string> rootExamples) : SynchronousCommandLineAction
{
    /// <inheritdoc/>
    public override bool ClearsParseErrors => true;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        var exitCode = help.Invoke(parseResult);
        var examples = parseResult.CommandResult.Command is OmqCommand command ? command.Examples : rootExamples;
        var output = parseResult.InvocationConfiguration.Output;
        if (examples.Count > 0)
        {
            output.WriteLine(examples.Count == 1 ? "Example:" : "Examples:");
            foreach (var example in examples)
                output.WriteLine("  " + example);
            output.WriteLine();
        }
        return exitCode;
    }
}
