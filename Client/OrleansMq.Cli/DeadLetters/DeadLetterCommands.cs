using System.CommandLine;
using System.Numerics;
using System.Text.Json.Serialization;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Replicas;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.DeadLetters;

/// <summary><c>omq dead-letter ...</c>: list, show, redrive.</summary>
internal static class DeadLetterCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() =>
        new OmqCommand("dead-letter", "Shows dead letters, and sends them back to where they came from.",
            "omq dead-letter list", "omq dead-letter show orders.dead-letter", "omq dead-letter redrive orders.dead-letter")
        {
            List(), Show(), Redrive(),
        };

    private static OmqCommand List()
    {
        var topic = new Argument<string?>("TOPIC")
        {
            Description = "Only this topic, under any name; without it, all that are named *.dead-letter.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var (maxRead, maxReadBytes) = (MaxRead(), MaxReadBytes());
        var command = new OmqCommand("list", "Lists the topics that hold dead letters: from where, how many, since when, and why.",
            "omq dead-letter list", "omq dead-letter list orders.dead-letter --max-read 100000",
            "omq dead-letter list --json | jq -r '.[].sources[] | [.topic, .letters] | @tsv'") { topic, maxRead, maxReadBytes };
        BrokerCall.Show<IReadOnlyList<DeadLetterTopic>>(command, async (broker, parsed, cancellationToken) =>
        {
            var letters = new Admin(broker).DeadLetters;
            var (records, bytes) = (parsed.GetValue(maxRead), parsed.GetValue(maxReadBytes));
            return parsed.GetValue(topic) is { } one
                ? [await letters.DescribeAsync(one, records, bytes, cancellationToken).ConfigureAwait(false)]
                : await letters.ListAsync(records, bytes, cancellationToken).ConfigureAwait(false);
        }, HttpJson.Default.IReadOnlyListDeadLetterTopic, DeadLetterTables.List);
        return command;
    }

    private static OmqCommand Show()
    {
        var topic = BrokerCall.TopicArgument();
        var source = new Option<string?>("--source") { Description = "Only dead letters of this topic.", HelpName = "TOPIC" };
        var group = new Option<string?>("--group") { Description = "Only dead letters of this group.", HelpName = "GROUP" };
        var max = Bounded("--max", 100, 10_000, "How many are shown at most, the newest.");
        var (maxRead, maxReadBytes) = (MaxRead(), MaxReadBytes());
        var command = new OmqCommand("show", "Shows the dead letters of a topic: where each came from, its attempts, and why.",
            "omq dead-letter show orders.dead-letter", "omq dead-letter show orders.dead-letter --group billing --max 10",
            "omq consume orders.dead-letter --partition 0 --offset 7 --max 1") { topic, source, group, max, maxRead, maxReadBytes };
        BrokerCall.Show(command, async (broker, parsed, cancellationToken) => await new Admin(broker).DeadLetters.ReadAsync(
            parsed.GetRequiredValue(topic), new DeadLetterQuery
            {
                SourceTopic = parsed.GetValue(source),
                GroupId = parsed.GetValue(group),
                MaxLetters = parsed.GetValue(max),
                MaxRead = parsed.GetValue(maxRead),
                MaxReadBytes = parsed.GetValue(maxReadBytes),
            }, cancellationToken).ConfigureAwait(false), HttpJson.Default.DeadLetterPage, DeadLetterTables.Show);
        return command;
    }

    private static Option<int> MaxRead() =>
        Bounded("--max-read", 10_000, 1_000_000, "How many records are read at most, the newest of each partition.");

    private static Option<long> MaxReadBytes() =>
        Bounded("--max-read-bytes", 256L << 20, 16L << 30, "How many bytes are read at most, as stored and as decompressed together.");

    private static Option<T> Bounded<T>(string name, T usual, T most, string description) where T : struct, IBinaryInteger<T>
    {
        var option = new Option<T>(name)
        {
            Description = description,
            HelpName = "N",
            DefaultValueFactory = _ => usual,
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }] && T.TryParse(text, null, out var number)
                && (number < T.One || number > most))
                result.AddError($"{name} '{text}': expected a whole number from 1 to {most}.");
        });
        return option;
    }

    private static OmqCommand Redrive()
    {
        var topic = BrokerCall.TopicArgument();
        var group = new Option<string?>("--progress-group")
        {
            Description = "The group whose offsets say what is done already; default: the topic's name and '.redrive'.",
            HelpName = "GROUP",
        };
        var command = new OmqCommand("redrive",
            "Sends all records of a dead-letter topic back to their topics and partitions, up to the end that the topic has now. All "
                + "groups and queues of those topics read them again.",
            "omq dead-letter redrive orders.dead-letter") { topic, group };
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var result = await new Admin(broker).RedriveAsync(parsed.GetRequiredValue(topic),
                new RedriveOptions { GroupId = parsed.GetValue(group) }, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(result, DeadLetterJson.Default.RedriveResult);
            else
                Output.WriteLine($"{result.Redriven} records sent back, {result.Duplicates} duplicates and {result.WithoutSource} without "
                    + "a source passed.");
        });
        return command;
    }
}

/// <summary>The JSON of these commands.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(RedriveResult))]
internal sealed partial class DeadLetterJson : JsonSerializerContext;
