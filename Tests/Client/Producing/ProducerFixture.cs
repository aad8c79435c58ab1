using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Producing;

/// <summary>What the producer tests share: a topic, a broker, a clock that stands still, and short waits where it does not.</summary>
public abstract class ProducerFixture
{
    protected const string Topic = "orders";

    private protected ScriptedBroker Broker { get; } = new((Topic, 1));

    protected ManualTimeProvider Clock { get; } = new();

    /// <summary>By the system's clock, with retries that come soon.</summary>
    protected static ProducerOptions Quick { get; } = new() { RetryBackoff = TimeSpan.FromMilliseconds(1),
        RetryBackoffMax = TimeSpan.FromMilliseconds(4) };

    /// <summary>By the clock that stands still.</summary>
    protected ProducerOptions Still => new() { TimeProvider = Clock };

    private protected Producer<string?, string?> NewProducer(ProducerOptions? options = null) => new(Broker, options: options ?? Quick);

    protected static ProducerRecord<string?, string?> Record(string? value, string? key = null) => new(Topic, key, value);

    protected static ProducerRecord<string?, string?> Record(int number) => Record(number.ToString());

    protected static IEnumerable<string?> Numbers(int from, int count) => Enumerable.Range(from, count).Select(number => number.ToString());

    /// <summary>A gate that calls of the broker wait at.</summary>
    protected static TaskCompletionSource NewGate() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
