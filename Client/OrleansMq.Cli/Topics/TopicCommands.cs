using System.CommandLine;
using OrleansMq.Api;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Client;

namespace OrleansMq.Cli.Topics;

/// <summary><c>omq topic ...</c>: create, list, describe, alter, delete, add partitions.</summary>
internal static class TopicCommands
{
    /// <summary>Creates the command.</summary>
    public static Command Create() => new OmqCommand("topic", "Creates, shows, changes and deletes topics.",
        "omq topic create orders --partitions 3", "omq topic list")
    {
        CreateTopic(), List(), Describe(), Alter(), Delete(), AddPartitions(),
    };

    private static OmqCommand CreateTopic()
    {
        var name = NameArgument();
        var partitions = new Option<int?>("--partitions") { Description = "The number of partitions, 1 to 10,000; by default the broker's "
            + "setting.", HelpName = "N" };
        var replicas = new Option<short?>("--replication-factor") { Description =
            "Copies of each partition; by default the broker's setting.", HelpName = "N" };
        var configs = ConfigOption("A setting of the topic; may be repeated.");
        var command = new OmqCommand("create", "Creates a topic.",
            "omq topic create orders --partitions 3 --config retention.ms=86400000 --config compression.type=zstd") { name, partitions,
            replicas, configs };
        Run(command, async (broker, parsed, cancellationToken) =>
        {
            var settings = TopicSettings.Parse(parsed.GetValue(configs) ?? []);
            var topic = new NewTopic(parsed.GetRequiredValue(name), parsed.GetValue(partitions) ?? -1, parsed.GetValue(replicas) ?? -1,
                settings);
            return await broker.CreateTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        }, topic => $"Created topic {topic.Name} with {Count(topic.Partitions.Count, "partition")}.");
        return command;
    }

    private static OmqCommand List()
    {
        var command = new OmqCommand("list", "Lists the topics.", "omq topic list", "omq topic list --json | jq -r '.[].name'");
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var topics = await broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(topics, HttpJson.Default.IReadOnlyListTopicListing);
            else
                Output.Write(TopicTables.List(topics));
        });
        return command;
    }

    private static OmqCommand Describe()
    {
        var name = NameArgument();
        var command = new OmqCommand("describe", "Shows a topic's partitions and settings.", "omq topic describe orders") { name };
        var all = new Option<bool>("--all") { Description = "Also show settings with their default value." };
        command.Add(all);
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var topic = await broker.DescribeTopicAsync(parsed.GetRequiredValue(name), cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(topic, HttpJson.Default.TopicDescription);
            else
                Output.Write(TopicTables.Describe(topic, parsed.GetValue(all)));
        });
        return command;
    }

    private static OmqCommand Alter()
    {
        var name = NameArgument();
        var configs = ConfigOption("A setting to change; may be repeated.");
        var delete = new Option<string[]>("--delete-config") { Description = "A setting to reset to its default; may be repeated.",
            HelpName = "KEY" };
        var command = new OmqCommand("alter", "Changes a topic's settings: all that are given, or none.",
            "omq topic alter orders --config retention.ms=3600000 --delete-config compression.type") { name, configs, delete };
        Run(command, async (broker, parsed, cancellationToken) =>
        {
            var changes = TopicSettings.Parse(parsed.GetValue(configs) ?? [])
                .ToDictionary(setting => setting.Key, setting => (string?)setting.Value);
            foreach (var key in parsed.GetValue(delete) ?? [])
            {
                if (!changes.TryAdd(key, null))
                    throw CommandFailedException.Usage($"'{key}' is both set and deleted; name it once.");
            }
            if (changes.Count == 0)
                throw CommandFailedException.Usage("Nothing to change: name at least one --config KEY=VALUE or --delete-config KEY.");
            return await broker.AlterTopicAsync(parsed.GetRequiredValue(name), changes, cancellationToken).ConfigureAwait(false);
        }, topic => $"Changed topic {topic.Name}.");
        return command;
    }

    private static OmqCommand AddPartitions()
    {
        var name = NameArgument();
        var total = new Option<int>("--partitions") { Description = "The new total number of partitions, which can only "
            + "grow.", HelpName = "N", Required = true };
        var command = new OmqCommand("add-partitions",
            "Raises a topic's number of partitions. Keys may move to other partitions; records stay where they are.",
            "omq topic add-partitions orders --partitions 6") { name, total };
        Run(command, async (broker, parsed, cancellationToken) =>
            await broker.AddPartitionsAsync(parsed.GetRequiredValue(name), parsed.GetValue(total), cancellationToken).ConfigureAwait(false),
            topic => $"Topic {topic.Name} has {Count(topic.Partitions.Count, "partition")}.");
        return command;
    }

    private static OmqCommand Delete()
    {
        var name = NameArgument();
        var command = new OmqCommand("delete", "Deletes a topic with all its records. This cannot be undone.",
            "omq topic delete orders") { name };
        var server = ServerOption.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var topic = parsed.GetRequiredValue(name);
            await broker.DeleteTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            Output.WriteLine($"Deleted topic {topic}.");
        });
        return command;
    }

    /// <summary>Sets up a command that changes a topic and shows its new description.</summary>
    private static void Run(OmqCommand command, Func<HttpBroker, ParseResult, CancellationToken, Task<TopicDescription>> change,
        Func<TopicDescription, string> summary)
    {
        var (server, json) = (ServerOption.AddTo(command), JsonOption.AddTo(command));
        command.SetAction(async (parsed, cancellationToken) =>
        {
            using var broker = server.Connect(parsed);
            var topic = await change(broker, parsed, cancellationToken).ConfigureAwait(false);
            if (parsed.GetValue(json))
                Output.WriteJson(topic, HttpJson.Default.TopicDescription);
            else
                Output.WriteLine(summary(topic));
        });
    }

    private static Argument<string> NameArgument() => new("NAME") { Description = "The topic's name." };

    private static Option<string[]> ConfigOption(string description) =>
        new("--config") { Description = description + " Keys are Kafka's, such as retention.ms.", HelpName = "KEY=VALUE" };

    private static string Count(int count, string what) => count == 1 ? $"1 {what}" : $"{count} {what}s";
}
