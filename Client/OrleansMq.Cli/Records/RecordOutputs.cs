using System.CommandLine;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Records;

/// <summary>Chooses the form of records on standard output.</summary>
internal static class RecordOutputs
{
    /// <summary>Creates the output that the options ask for.</summary>
    /// <exception cref="CommandFailedException">They exclude each other.</exception>
    public static IRecordOutput Create(ParseResult parsed, Option<string> separator, Option<bool> json)
    {
        var key = KeySeparator.Bytes(parsed.GetValue(separator));
        if (key is not null && parsed.GetValue(json))
            throw CommandFailedException.Usage("--json writes the key as a field: omit --key-separator.");
        return parsed.GetValue(json) ? new JsonRecordOutput() : new LineRecordOutput(key);
    }
}
