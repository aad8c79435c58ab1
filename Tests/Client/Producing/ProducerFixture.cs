using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Producing;

/// <summary>Shared by the producer tests: a topic, a broker, a manual clock, and options with short waits for tests on the system
/// clock.</summary>
public abstract class ProducerFixture
{
    protected const string Topic = "orders";

    private protected ScriptedBroker Broker { get; } = new((Topic, 1));

    protected ManualTimeProvider Clock { get; } = new();

    /// <summary>Options with the system clock and quick retries.</summary>
    protected static ProducerOptions Quick { get; } = new() { RetryBackoff = TimeSpan.FromMilliseconds(1),
        RetryBackoffMax = TimeSpan.FromMilliseconds(4) };

    /// <summary>Options with the manual clock.</summary>
    protected ProducerOptions Still => new() { TimeProvider = Clock };

    private protected Producer<string?, string?> NewProducer(ProducerOptions? options = null) => new(Broker, options: options ?? Quick);

    protected static ProducerRecord<string?, string?> Record(string? value, string? key = null) => new(Topic, key, value);

    protected static ProducerRecord<string?, string?> Record(int number) => Record(number.ToString());

    protected static IEnumerable<string?> Numbers(int from, int count) => Enumerable.Range(from, count).Select(number => number.ToString());

    /// <summary>Creates a gate at which calls of the broker wait.</summary>
    protected static TaskCompletionSource NewGate() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
