using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>A grain of the application, which looks for tickets in its calls.</summary>
internal interface ITicketLookoutGrain : IGrainWithStringKey
{
    /// <summary>Whether this call has a ticket.</summary>
    Task<bool> SeesTicketAsync();

    /// <summary>Whether a call has a ticket that this grain makes to another one of the application.</summary>
    Task<bool> AnotherSeesTicketAsync();

    /// <summary>Uses the broker as an application does: by its API, and by its grains.</summary>
    Task<ErrorCode> ProduceAsync(string topic);
}

/// <inheritdoc/>
internal sealed class TicketLookoutGrain(IBroker broker) : Grain, ITicketLookoutGrain
{
    /// <inheritdoc/>
    public Task<bool> SeesTicketAsync() => Task.FromResult(TicketedCalls.Carried is not null);

    /// <inheritdoc/>
    public Task<bool> AnotherSeesTicketAsync() => GrainFactory.GetGrain<ITicketLookoutGrain>("another").SeesTicketAsync();

    /// <inheritdoc/>
    public async Task<ErrorCode> ProduceAsync(string topic)
    {
        var byApi = await broker.ProduceAsync(new TopicPartition(topic, 0), TestBatches.Of("by API"), Acks.All);
        if (byApi.Error != ErrorCode.None)
            return byApi.Error;
        var found = await GrainFactory.GetTopic(topic).FindAsync();
        return (await GrainFactory.GetPartition(found!.TopicId, 0).AppendAsync(TestBatches.Of("by grain"), Acks.All)).Error;
    }
}
