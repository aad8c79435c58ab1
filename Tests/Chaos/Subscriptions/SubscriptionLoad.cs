namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>The streams and subscribers of a run.</summary>
internal static class SubscriptionLoad
{
    public const string Provider = "events";
    public const string Topic = "happenings";
    public const string ClusterId = "subscriptions";
    public const int Partitions = 6;
    public const int Streams = 12;
    public const int Subscribers = 12;

    // A subscriber's own, and how many of them it has.
    private const int StreamsOfOne = 3;

    /// <summary>The key of a stream.</summary>
    public static string Key(int stream) => $"stream-{stream}";

    /// <summary>The streams that a grain may subscribe to. Those of neighbours overlap.</summary>
    public static IEnumerable<int> StreamsOf(int subscriber) =>
        Enumerable.Range(subscriber, StreamsOfOne).Select(static stream => stream % Streams);

    /// <summary>Whether the first attempt of an event fails.</summary>
    public static bool FailsFirst(int number) => number % 50 == 7;

    /// <summary>How long an observer takes for an event: some are in delivery at any time.</summary>
    public static TimeSpan Takes(int number) => number % 10 == 3 ? TimeSpan.FromMilliseconds(20) : TimeSpan.Zero;
}
