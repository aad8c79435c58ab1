namespace OrleansMq.Consumers;

/// <summary>What became of a record.</summary>
internal enum DeliveryOutcome
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>The grain has handled the record, now or before.</summary>
    Served = 1,
    /// <summary>The grain's method threw.</summary>
    Failed = 2,
    /// <summary>The grain has no observer for the subscription.</summary>
    NotObserved = 3,
    /// <summary>The record cannot be read, and a further attempt would not help.</summary>
    Unreadable = 4,
    /// <summary>The grain was not reached.</summary>
    Unreachable = 5,
    /// <summary>The grain has removed the subscription, or does not know that it was written.</summary>
    Removed = 6,
    /// <summary>It comes again soon: a subscription of its stream changes from one cursor to another.</summary>
    Waits = 7,
    /// <summary>It is not known now whom it concerns, or whether a silo has the class: no grain has failed to answer. A silo answers itself
    /// so, and none another.</summary>
    Undecided = 8,
}

/// <summary>The answer to a delivery.</summary>
/// <param name="Count">The number of its records that are served: the first ones.</param>
/// <param name="Outcome">What became of the record after them. <see cref="DeliveryOutcome.Served"/>: all are served, or the call took long
/// enough and the others are sent again.</param>
/// <param name="Cause">Why it was not served, for the dead letter.</param>
[GenerateSerializer, Immutable, Alias("omq.StreamDeliveryAnswer")]
internal sealed record DeliveryAnswer([property: Id(0)] int Count, [property: Id(1)] DeliveryOutcome Outcome,
    [property: Id(2)] string? Cause = null);

/// <summary>What became of the records of a run.</summary>
/// <param name="Count">The number of records that all subscribers have served: the first ones.</param>
/// <param name="Unserved">The answers about the record after them of those that have not served it. None: all records are served, or those
/// that are not are delivered again at once.</param>
internal sealed record RunAnswer(int Count, IReadOnlyList<DeliveryAnswer> Unserved)
{
    /// <summary>Returns the answer of all subscribers, from that of each.</summary>
    /// <param name="count">The number of records.</param>
    /// <param name="answers">The answers; none: the records have no subscriber.</param>
    public static RunAnswer Of(int count, IReadOnlyCollection<DeliveryAnswer> answers)
    {
        var served = answers.Count == 0 ? count : answers.Min(static answer => answer.Count);
        return new RunAnswer(served, [.. answers.Where(answer => answer.Count == served && answer.Outcome != DeliveryOutcome.Served)]);
    }
}

/// <summary>Causes of failures, as dead letters tell them.</summary>
internal static class Causes
{
    /// <summary>Returns type and message.</summary>
    public static string Of(Exception thrown) => $"{thrown.GetType().FullName}: {thrown.Message}";
}
