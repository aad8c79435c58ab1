using OrleansMq.Queues;
using OrleansMq.Records;

namespace OrleansMq.Partitions.Cursors;

/// <summary>The result of publishing dead letters.</summary>
internal enum DeadLetterOutcome
{
    /// <summary>Unknown: they are published again.</summary>
    Unknown = 0,
    /// <summary>The target has all of them below its high watermark.</summary>
    Published = 1,
    /// <summary>The target does not exist any more, and no topic has taken its place.</summary>
    TargetGone = 2,
}

/// <summary>The result of publishing dead letters.</summary>
/// <param name="Outcome">What became of them.</param>
/// <param name="Dropped">The sequences of those that would go round in a circle: the target does not have them.</param>
internal readonly record struct DeadLetterResult(DeadLetterOutcome Outcome, IReadOnlyCollection<long> Dropped)
{
    /// <summary>The result of letters of which none was dropped.</summary>
    public static implicit operator DeadLetterResult(DeadLetterOutcome outcome) => new(outcome, []);
}

/// <summary>The cursor that dead letters come from.</summary>
/// <param name="Partition">Its partition.</param>
/// <param name="TopicId">The partition's topic.</param>
/// <param name="Name">The cursor's name.</param>
/// <param name="TargetTopic">The name of the target's topic, as of the cursor's creation; null if it is not known.</param>
/// <param name="ConfiguredTopic">The name of the topic that the cursor's letters go to now; null for none.</param>
internal sealed record DeadLetterSource(TopicPartition Partition, Guid TopicId, string Name, string? TargetTopic,
    string? ConfiguredTopic = null);

/// <summary>A record for its dead-letter target.</summary>
/// <param name="Intent">The decision: cause, counts, time, and the sequence by which the target tells a repetition.</param>
/// <param name="Record">The record's content; valid until the call ends.</param>
internal readonly record struct DeadLetter(DeadLetterIntent Intent, Record Record);

/// <summary>Publishes dead letters to other partitions. Thread safe.</summary>
internal interface IDeadLetterPort
{
    /// <summary>Finds the partition for the dead letters of a cursor that is created or altered.</summary>
    /// <param name="source">The cursor's partition.</param>
    /// <param name="topic">The topic for the letters.</param>
    /// <param name="current">The target that the cursor has; null: none. It stays while its topic exists under that name, whatever the
    /// topic's configuration has become.</param>
    /// <param name="cancellationToken">Ends the search.</param>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>: the topic does not exist, is the source's own, or keeps
    /// records less safely than the source.</exception>
    Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
        CancellationToken cancellationToken);

    /// <summary>Publishes letters in order. One that the target has already is not published again.</summary>
    /// <param name="source">The cursor that they come from.</param>
    /// <param name="target">Where they go.</param>
    /// <param name="letters">The letters, by sequence.</param>
    /// <param name="cancellationToken">The source is not led here any more.</param>
    /// <exception cref="BrokerException">Not all of them were published; publish them again.</exception>
    Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
        CancellationToken cancellationToken);
}

/// <summary>The port of a broker whose host publishes none: they wait.</summary>
internal sealed class NoDeadLetters : IDeadLetterPort
{
    /// <summary>The only one.</summary>
    public static readonly NoDeadLetters Instance = new();

    /// <inheritdoc/>
    public Task<DeadLetterTarget> FindTargetAsync(TopicPartition source, string topic, DeadLetterTarget? current,
        CancellationToken cancellationToken) => throw new BrokerException(ErrorCode.InvalidRequest,
            "This broker publishes no dead letters. Create the queue without such a topic.");

    /// <inheritdoc/>
    public Task<DeadLetterResult> PublishAsync(DeadLetterSource source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
        CancellationToken cancellationToken) => Task.FromResult<DeadLetterResult>(DeadLetterOutcome.Unknown);
}
