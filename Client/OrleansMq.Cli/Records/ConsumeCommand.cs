using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Records;

/// <summary><c>omq consume TOPIC</c>: writes values to standard output, one per line, and nothing else.</summary>
internal static class ConsumeCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var topic = new Argument<string>("TOPIC") { Description = "The topic." };
        var partition = new Option<int?>("--partition") { Description = "The partition; by default all of them, in no particular order "
            + "relative to each other.", HelpName = "N" }.AtLeast(0);
        var offset = new Option<ReadFrom?>("--offset")
        {
            Description = "Where to begin; earliest by default. A number needs --partition, unless the topic has only one. With --group: "
                + "earliest or latest, where a partition has no committed offset.",
            HelpName = "earliest|latest|N",
            CustomParser = result => ParseOffset(result.Tokens[0].Value, result.AddError),
        };
        var group = new Option<string?>("--group") { Description = "Read as a member of this consumer group: its members share the "
            + "partitions, and only printed records are committed.", HelpName = "GROUP" };
        var max = new Option<long?>("--max") { Description = "End after this many records.", HelpName = "N" }.AtLeast(1);
        var idle = new Option<int?>("--idle-timeout") { Description = "End when all records were read and none arrived for this long; "
            + "by default only Ctrl-C ends it.", HelpName = "MS" }.AtLeast(0);
        var isolation = new Option<IsolationLevel>("--isolation")
        {
            Description = "Which records to write: read_uncommitted (all, the default), or read_committed to leave out those of aborted "
                + "transactions, and to wait for open ones.",
            HelpName = "read_uncommitted|read_committed",
            CustomParser = ParseIsolation,
        };
        var separator = KeySeparator.Option("Write the key and this before each value.");
        var json = new Option<bool>("--json") { Description = "Write each record as a line of JSON; bytes that are not text are base64." };
        var command = new OmqCommand("consume",
            "Writes a topic's records to standard output, one value per line, and waits for more. Bytes are written as they are.",
            "omq consume orders --max 10", "omq consume orders --partition 0 --offset latest",
            "omq consume orders --json --idle-timeout 1000 | jq .value",
            "omq consume orders --group billing --offset latest")
        {
            topic, partition, offset, group, max, idle, isolation, separator, json,
        };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            Check(parsed, group, partition, offset);
            using var broker = server.Connect(parsed);
            using var output = RecordOutputs.Create(parsed, separator, json);
            var (maxRecords, idleTimeout) = (parsed.GetValue(max) ?? long.MaxValue, parsed.GetValue(idle) is { } milliseconds
                ? TimeSpan.FromMilliseconds(milliseconds) : (TimeSpan?)null);
            if (parsed.GetValue(group) is { } name)
            {
                var member = new GroupConsumeRun(broker, parsed.GetRequiredValue(topic), name, output)
                {
                    From = parsed.GetValue(offset) == ReadFrom.Latest ? AutoOffsetReset.Latest : AutoOffsetReset.Earliest,
                    MaxRecords = maxRecords,
                    IdleTimeout = idleTimeout,
                    Isolation = parsed.GetValue(isolation),
                };
                await member.RunAsync(cancellationToken).ConfigureAwait(false);
                return;
            }
            var run = new ConsumeRun(broker, parsed.GetRequiredValue(topic), output)
            {
                Partition = parsed.GetValue(partition),
                From = parsed.GetValue(offset) ?? ReadFrom.Earliest,
                FromIsNumber = IsNumber(parsed, offset),
                MaxRecords = maxRecords,
                IdleTimeout = idleTimeout,
                Isolation = parsed.GetValue(isolation),
            };
            await run.RunAsync(cancellationToken).ConfigureAwait(false);
        });
        return command;
    }

    /// <summary>Checks that nothing that --group determines is given with it.</summary>
    private static void Check(ParseResult parsed, Option<string?> group, Option<int?> partition, Option<ReadFrom?> offset)
    {
        if (parsed.GetValue(group) is not { } name)
            return;
        if (name.Length == 0)
            throw CommandFailedException.Usage("--group is empty. Give the group a name, like --group billing.");
        if (parsed.GetValue(partition) is not null || IsNumber(parsed, offset))
            throw CommandFailedException.Usage("--group shares the partitions among its members, each from the group's committed offset: "
                + "omit --partition and a number as --offset. --offset earliest or latest sets where to begin without a committed offset; "
                + "'omq group reset' changes committed offsets.");
    }

    private static bool IsNumber(ParseResult parsed, Option<ReadFrom?> offset) =>
        parsed.GetResult(offset)?.Tokens is [{ Value: [>= '0' and <= '9', ..] }];

    private static IsolationLevel ParseIsolation(ArgumentResult result)
    {
        if (!HttpContract.TryParseIsolation(result.Tokens[0].Value, out var isolation))
            result.AddError($"--isolation is '{result.Tokens[0].Value}'; it may be read_uncommitted or read_committed.");
        return isolation;
    }

    private static ReadFrom? ParseOffset(string text, Action<string> addError)
    {
        if (text == "earliest")
            return ReadFrom.Earliest;
        if (text == "latest")
            return ReadFrom.Latest;
        if (long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var offset))
            return ReadFrom.Offset(offset);
        addError($"--offset is '{text}'; it may be earliest, latest or a number from 0.");
        return null;
    }
}
