using OrleansMq.Clusters;
using OrleansMq.Hosting;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Whether all live brokers of a cluster publish to and read queues in the memory of another broker: those of an earlier build do
/// not. Each broker is asked until it has answered so, and again after a minute. Thread safe.</summary>
/// <param name="broker">This broker.</param>
/// <param name="time">The clock.</param>
internal sealed class PeerBuilds(HostedBroker broker, TimeProvider time)
{
    // How long a declaration waits for the answers. They take milliseconds.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    // Between two questions to a broker that did not answer. One of an earlier build logs each as an error.
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(5);

    // How long an answer counts: a broker may start again with an earlier build. While it is asked again, and does not answer, the last
    // answer counts for as long once more.
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly Dictionary<int, Asked> _asked = [];

    /// <summary>Returns whether they all do. False where one does not answer in time.</summary>
    public async ValueTask<bool> AllReadMemoryAsync()
    {
        var brokers = broker.Metadata.Image.Brokers;
        var all = Task.WhenAll(brokers.Where(other => other.Value.IsAlive && other.Key != broker.BrokerId)
            .Select(other => AskAsync(other.Key, other.Value.Registration)).ToArray());
        if (!all.IsCompleted)
            await ((Task)all).WaitAsync(Patience, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // Without an image the other brokers are not known.
        return !brokers.IsEmpty && all.IsCompletedSuccessfully && all.Result.All(static answer => answer);
    }

    // Null: it does not answer.
    private Task<bool?> ReadsMemoryAsync(int other) => broker.Peers.HasGatewayAsync(other, GatewayFeatures.MemoryReaders);

    private Task<bool> AskAsync(int other, BrokerRegistration registration)
    {
        Asked asked;
        lock (_lock)
        {
            if (!_asked.TryGetValue(other, out asked!) || asked.Registration != registration)
                asked = new Asked(registration, ReadsMemoryAsync(other), time.GetTimestamp(), null);
            else if (asked.Answer.IsCompleted
                && time.GetElapsedTime(asked.Since) >= (asked.Answer is { IsCompletedSuccessfully: true, Result: true } ? Lifetime : Pause))
                asked = new Asked(registration, ReadsMemoryAsync(other), time.GetTimestamp(), KnownAt(asked));
            _asked[other] = asked;
        }
        return asked.KnownAt is { } at && time.GetElapsedTime(at) < Lifetime
            && asked.Answer is not { IsCompletedSuccessfully: true, Result: not null } ? Task.FromResult(true) : IsTrueAsync(asked.Answer);
    }

    // What it has denied is not known any more.
    private long? KnownAt(Asked last) =>
        last.Answer is { IsCompletedSuccessfully: true, Result: { } said } ? said ? time.GetTimestamp() : null : last.KnownAt;

    private static async Task<bool> IsTrueAsync(Task<bool?> answer) => await answer.ConfigureAwait(false) is true;

    // When it is asked again after it has answered so.
    private sealed record Asked(BrokerRegistration Registration, Task<bool?> Answer, long Since, long? KnownAt);
}
