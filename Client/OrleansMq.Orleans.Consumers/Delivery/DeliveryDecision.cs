namespace OrleansMq.Consumers;

/// <summary>What is done with a record.</summary>
internal enum DeliveryAction
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>It is settled.</summary>
    Complete = 1,
    /// <summary>It comes again, and counts as failed.</summary>
    Retry = 2,
    /// <summary>It comes again, and does not count as failed.</summary>
    Release = 3,
    /// <summary>It goes to the dead-letter topic.</summary>
    DeadLetter = 4,
}

/// <summary>Decides what is done with a record, from the answers of its subscribers.</summary>
/// <param name="Action">What is done.</param>
/// <param name="Delay">How long the record waits before it comes again.</param>
/// <param name="Cause">Why it is not settled.</param>
internal readonly record struct DeliveryDecision(DeliveryAction Action, TimeSpan Delay, string? Cause)
{
    /// <summary>Whether a release does not count the delivery. It lengthens no later wait for a grain that is not reached.</summary>
    public bool IsUncounted { get; init; }

    // More change nothing: the wait is above the longest one that options allow.
    private const int MaxDoublings = 30;

    // A change of cursors takes some requests.
    private static readonly TimeSpan LongestChange = TimeSpan.FromMilliseconds(100);

    /// <summary>Decides.</summary>
    /// <param name="unserved">The answers of the subscribers that have not served it; none: all have.</param>
    /// <param name="failures">How often the record failed before.</param>
    /// <param name="deliveries">How often it was delivered, with this delivery.</param>
    /// <param name="age">How long ago its timestamp is; below zero where that says nothing.</param>
    /// <param name="options">The policy.</param>
    public static DeliveryDecision Of(IReadOnlyCollection<DeliveryAnswer> unserved, int failures, int deliveries, TimeSpan age,
        DeliveryOptions options)
    {
        if (unserved.Count == 0)
            return new(DeliveryAction.Complete, TimeSpan.Zero, null);
        if (unserved.All(static answer => answer.Outcome == DeliveryOutcome.Waits))
        {
            return new(DeliveryAction.Release, options.RetryDelay < LongestChange ? options.RetryDelay : LongestChange, null)
            {
                IsUncounted = true,
            };
        }
        var cause = string.Join("\n", unserved.Select(static answer => answer.Cause));
        var canRetry = failures + 1 < options.MaxAttempts;
        if (canRetry && unserved.Any(static answer => answer.Outcome is DeliveryOutcome.Failed or DeliveryOutcome.NotObserved))
            return new(DeliveryAction.Retry, DelayOf(failures, options), cause);
        // A subscriber that was not reached is not skipped because another one fails for good. These deliveries count, though no grain
        // failed to answer: the wait grows with them, and the record waits each time.
        if (unserved.Any(static answer => answer.Outcome is DeliveryOutcome.Undecided or DeliveryOutcome.Waits))
            return new(DeliveryAction.Release, DelayOf(deliveries - 1, options), cause);
        if (unserved.Any(static answer => answer.Outcome == DeliveryOutcome.Unreachable))
        {
            return !HasWaited(deliveries, age, options) ? new(DeliveryAction.Release, DelayOf(deliveries - 1, options), cause)
                : new(DeliveryAction.DeadLetter, TimeSpan.Zero, $"Its grain was not reached for {options.UnreachableTimeout}, which is "
                    + $"the {nameof(DeliveryOptions.UnreachableTimeout)}.\n{cause}");
        }
        return new(DeliveryAction.DeadLetter, TimeSpan.Zero, cause);
    }

    // The age alone says nothing of a backlog, and deliveries alone count also what came back behind another record. Both survive the
    // silos.
    private static bool HasWaited(int deliveries, TimeSpan age, DeliveryOptions options) =>
        options.UnreachableTimeout is { } longest && (age < TimeSpan.Zero || age >= longest)
        && TicksOf(deliveries - 1, options) >= longest.Ticks;

    // The waits after a number of deliveries, together.
    private static double TicksOf(int waits, DeliveryOptions options)
    {
        var growing = Math.Min(waits, MaxDoublings);
        return Enumerable.Range(0, growing).Sum(earlier => (double)DelayOf(earlier, options).Ticks)
            + ((double)(waits - growing) * DelayOf(MaxDoublings, options).Ticks);
    }

    /// <summary>Returns the wait after a number of earlier ones: it doubles up to the longest.</summary>
    internal static TimeSpan DelayOf(int earlier, DeliveryOptions options)
    {
        var ticks = options.RetryDelay.Ticks * Math.Pow(2, Math.Clamp(earlier, 0, MaxDoublings));
        return ticks >= options.MaxRetryDelay.Ticks ? options.MaxRetryDelay : TimeSpan.FromTicks((long)ticks);
    }
}
