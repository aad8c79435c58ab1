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
    /// <summary>The target does not exist any more.</summary>
    TargetGone = 2,
}

/// <summary>A record for its dead-letter target.</summary>
/// <param name="Intent">The decision: cause, counts, time, and the sequence by which the target tells a repetition.</param>
/// <param name="Record">The record's content; valid until the call ends.</param>
internal readonly record struct DeadLetter(DeadLetterIntent Intent, Record Record);

/// <summary>Publishes dead letters to other partitions. Thread safe.</summary>
internal interface IDeadLetterPort
{
    /// <summary>Publishes letters in order. One that the target has already is not published again.</summary>
    /// <param name="source">The partition that they come from.</param>
    /// <param name="target">Where they go.</param>
    /// <param name="letters">The letters, by sequence.</param>
    /// <param name="cancellationToken">The source is not led here any more.</param>
    Task<DeadLetterOutcome> PublishAsync(TopicPartition source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
        CancellationToken cancellationToken);
}

/// <summary>The port of a broker whose host publishes none: they wait.</summary>
internal sealed class NoDeadLetters : IDeadLetterPort
{
    /// <summary>The only one.</summary>
    public static readonly NoDeadLetters Instance = new();

    /// <inheritdoc/>
    public Task<DeadLetterOutcome> PublishAsync(TopicPartition source, DeadLetterTarget target, IReadOnlyList<DeadLetter> letters,
        CancellationToken cancellationToken) => Task.FromResult(DeadLetterOutcome.Unknown);
}
