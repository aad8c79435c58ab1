using System.CommandLine;
using System.CommandLine.Parsing;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Records;
using OrleansMq.Cli.Replicas;
using OrleansMq.Client;

namespace OrleansMq.Cli.Queues;

/// <summary><c>TOPIC QUEUE [--partition N]</c>: a queue of a topic, which has one name in all partitions.</summary>
internal sealed class QueueSelection
{
    private readonly Argument<string> _topic = BrokerCall.TopicArgument();
    private readonly Argument<string> _queue = new("QUEUE") { Description = "The queue's name." };

    private readonly Option<int?> _partition = new Option<int?>("--partition") { Description = "Only this partition; by default all.",
        HelpName = "N" }.AtLeast(0);

    /// <summary>Adds arguments and option to a command.</summary>
    public QueueSelection(Command command)
    {
        command.Add(_topic);
        command.Add(_queue);
        command.Add(_partition);
    }

    /// <summary>Whether the command line names a partition.</summary>
    public bool HasPartition(CommandResult result) => result.GetResult(_partition) is not null;

    /// <summary>The topic's name.</summary>
    public string Topic(ParseResult parsed) => parsed.GetRequiredValue(_topic);

    /// <summary>The queue's name.</summary>
    public string Name(ParseResult parsed) => parsed.GetRequiredValue(_queue);

    /// <summary>The selected partitions of the topic, whether they have the queue or not.</summary>
    public async Task<IReadOnlyList<TopicPartition>> PartitionsAsync(HttpBroker broker, ParseResult parsed,
        CancellationToken cancellationToken)
    {
        var topic = await broker.GetTopicAsync(Topic(parsed), cancellationToken).ConfigureAwait(false);
        return parsed.GetValue(_partition) is { } number ? [new TopicPartition(topic.Name, number)]
            : [.. Enumerable.Range(0, topic.Partitions).Select(each => new TopicPartition(topic.Name, each))];
    }

    /// <summary>The selected queues.</summary>
    /// <exception cref="CommandFailedException">There is none.</exception>
    public async Task<IReadOnlyList<QueueDocument>> FindAsync(HttpBroker broker, ParseResult parsed, CancellationToken cancellationToken)
    {
        var (topic, name, partition) = (Topic(parsed), Name(parsed), parsed.GetValue(_partition));
        var queues = await broker.ListQueuesAsync(topic, cancellationToken).ConfigureAwait(false);
        var found = queues.Where(queue => queue.Name == name && (partition is null || partition == queue.Partition)).ToList();
        if (found.Count > 0)
            return found;
        throw CommandFailedException.Refused(partition is { } number
            ? $"Partition {number} of topic '{topic}' has no queue '{name}'. Create it: omq queue create {topic} {name} --partition "
            + $"{number}"
            : $"Topic '{topic}' has no queue '{name}'. Create it: omq queue create {topic} {name}");
    }

    /// <summary>The partition of a queue.</summary>
    public static TopicPartition PartitionOf(QueueDocument queue) => new(queue.Topic, queue.Partition);
}
