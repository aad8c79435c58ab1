using System.Globalization;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>What a subscriber did or observed.</summary>
internal enum SubscriptionEventKind
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary><c>SubscribeAsync</c> has returned.</summary>
    Subscribed,
    /// <summary>The observer has handled an event.</summary>
    Observed,
    /// <summary><c>ResumeAsync</c> is called with the token of an event.</summary>
    Rewinding,
    /// <summary>That call has returned.</summary>
    Rewound,
    /// <summary><c>UnsubscribeAsync</c> is called.</summary>
    Leaving,
    /// <summary>That call has returned, or a later one did not find the subscription.</summary>
    Left,
}

/// <summary>An event of a subscription, written by its grain to a file that outlives the silo's process. Times are those of
/// <see cref="System.Diagnostics.Stopwatch"/>, which all processes of a machine share.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Begin">When the call began.</param>
/// <param name="End">When the call had ended; where it has not, its begin.</param>
/// <param name="Subscription">The handle's id.</param>
/// <param name="Activation">The activation of the grain.</param>
/// <param name="Subscriber">The grain.</param>
/// <param name="Stream">The stream.</param>
/// <param name="Partition">The partition of what was observed, or of the token.</param>
/// <param name="Offset">Its offset.</param>
/// <param name="Number">The event; -1 for none.</param>
internal sealed record SubscriptionEvent(SubscriptionEventKind Kind, long Begin, long End, Guid Subscription, string Activation,
    int Subscriber, int Stream, int Partition = -1, long Offset = -1, int Number = -1)
{
    /// <summary>Writes it as a line.</summary>
    public string ToLine() => string.Create(CultureInfo.InvariantCulture,
        $"{Kind} {Begin} {End} {Subscription} {Activation} {Subscriber} {Stream} {Partition} {Offset} {Number}");

    /// <summary>Reads a line.</summary>
    public static SubscriptionEvent Parse(string line)
    {
        var parts = line.Split(' ');
        return new SubscriptionEvent(Enum.Parse<SubscriptionEventKind>(parts[0]), Long(1), Long(2), Guid.Parse(parts[3]), parts[4],
            (int)Long(5), (int)Long(6), (int)Long(7), Long(8), (int)Long(9));

        long Long(int part) => long.Parse(parts[part], CultureInfo.InvariantCulture);
    }
}
