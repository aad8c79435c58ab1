using Microsoft.Extensions.Logging;
using Orleans.Concurrency;
using Orleans.Runtime.Services;
using Orleans.Services;

namespace OrleansMq.Grains.Hosting;

/// <summary>A broker without <see cref="BrokerClusterOptions"/> starts beside another broker in one cluster of Orleans. The message says
/// where.</summary>
public sealed class SecondBrokerException(string message) : Exception(message);

/// <summary>Tells that a silo is a broker. Orleans' clients can call it: it tells nothing else.</summary>
[Alias("omq.IBrokerPresence")]
internal interface IBrokerPresence : IGrainService
{
    /// <summary>Returns on a silo that is a broker; on others there is no such service.</summary>
    [Alias("Answer"), ResponseTimeout("00:00:05")]
    Task AnswerAsync();
}

/// <summary>See <see cref="IBrokerPresence"/>.</summary>
[Reentrant]
internal sealed class BrokerPresence(GrainId id, Silo silo, ILoggerFactory loggers) : GrainService(id, silo, loggers), IBrokerPresence
{
    /// <inheritdoc/>
    public Task AnswerAsync() => Task.CompletedTask;
}

/// <summary>Calls the <see cref="IBrokerPresence"/> of a silo.</summary>
internal sealed class BrokerPresenceClient(IServiceProvider services) : GrainServiceClient<IBrokerPresence>(services)
{
    /// <summary>The service of that silo.</summary>
    public IBrokerPresence Of(SiloAddress silo) => GetGrainService(silo);
}

/// <summary>
/// Refuses to start a broker that has its topics to itself while another silo of its cluster is a broker. A grain call is served by the
/// silo that makes it: each broker would have topics of its own, and a record would be found only through the silo that it was sent to.
/// Of two that start at once both may refuse. A silo that does not answer is taken for one without a broker: the entry of a dead one stays
/// in the membership for a while.
/// </summary>
internal sealed class SoleBrokerCheck(BrokerPresenceClient brokers, IClusterMembershipService membership, ILocalSiloDetails self)
    : ILifecycleParticipant<ISiloLifecycle>
{
    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) =>
        // When the silo is a member, before gateways and hosted services.
        lifecycle.Subscribe(nameof(SoleBrokerCheck), ServiceLifecycleStage.Active, _ => CheckAsync());

    /// <summary>Returns when no other active silo is a broker.</summary>
    /// <exception cref="SecondBrokerException">One is.</exception>
    public async Task CheckAsync()
    {
        var others = membership.CurrentSnapshot.Members.Values
            .Where(member => member.Status == SiloStatus.Active && !member.SiloAddress.Equals(self.SiloAddress)).ToArray();
        var answers = await Task.WhenAll(others.Select(other => IsBrokerAsync(other.SiloAddress)));
        if (Array.IndexOf(answers, true) is >= 0 and var first)
            throw new SecondBrokerException(
                $"Silo '{others[first].Name}' at {others[first].SiloAddress.Endpoint} is a broker of this Orleans cluster, too, and this "
                + "one was added without a BrokerClusterOptions: their topics would not be the same. For several brokers, call "
                + "silo.AddOrleansMq(options, new BrokerClusterOptions { PostgreSql = ... }) on each. For one, call AddOrleansMq() on one "
                + "silo and AddOrleansMqClient() on the others.");
    }

    private async Task<bool> IsBrokerAsync(SiloAddress silo)
    {
        try
        {
            await brokers.Of(silo).AnswerAsync();
            return true;
        }
        catch (Exception failure) when (failure is OrleansException or TimeoutException)
        {
            return false;
        }
    }
}
