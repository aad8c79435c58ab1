using System.Text.Json;
using Orleans.Concurrency;
using OrleansMq.Api;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;

namespace OrleansMq.Grains.Groups;

/// <summary>Lists the groups of the index: those that have members by their coordinators' word, the others as they are stored, so that a
/// list wakes none. It keeps nothing, so every silo has one.</summary>
[GrainType("omq.group-list")]
[StatelessWorker(1), Reentrant]
internal sealed class GroupListGrain(IGroupStores stores) : Grain, IGroupListGrain
{
    // Groups asked at a time: enough to overlap their reads, few enough to leave the store to those who commit.
    private const int AtATime = 64;

    // A group on its way to another broker arrives within some hundred milliseconds.
    private const int Attempts = 8;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <inheritdoc/>
    public async Task<GroupListing[]> ListAsync()
    {
        var listings = new List<GroupListing>();
        try
        {
            foreach (var some in (await stores.ListAsync()).Chunk(AtATime))
                listings.AddRange((await Task.WhenAll(some.Select(FindAsync))).OfType<GroupListing>());
        }
        catch (IOException failure)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable, $"The list of groups cannot be read. Retry. ({failure.Message})",
                failure);
        }
        return [.. listings];
    }

    private async Task<GroupListing?> FindAsync(string groupId)
    {
        GroupListing stored;
        try
        {
            if (await stores.ReadAsync(groupId) is not { } document)
            {
                await stores.ForgetAsync(groupId);
                return null;
            }
            stored = GroupDocument.Parse(document.Value.Span).ToListing(groupId);
        }
        catch (Exception damaged) when (damaged is JsonException or CorruptStateException)
        {
            return new GroupListing(groupId, "", GroupState.Unknown, GroupType.Unknown); // Whoever asks for the group itself is told why.
        }
        return stored.State == GroupState.Empty ? stored : await AskAsync(groupId, stored);
    }

    // As it is stored, where nobody coordinates it at the moment; null where it is gone.
    private async Task<GroupListing?> AskAsync(string groupId, GroupListing stored)
    {
        for (var attempt = 1; attempt <= Attempts; attempt++)
        {
            try
            {
                var answer = await GrainFactory.GetGrain<IGroupGrain>(groupId).SendAsync(new ListGroup(groupId), default);
                if (answer is GroupListing listing)
                    return listing;
                if (answer is GroupReply { Error: ErrorCode.GroupIdNotFound })
                    return null;
                if (answer is GroupReply refusal && refusal.Error.Action() != ErrorAction.Retry)
                    throw new BrokerException(refusal.Error, refusal.Message ?? refusal.Error.ToString());
            }
            catch (OrleansException)
            {
                // Its silo is gone, or not there yet.
            }
            await Task.Delay(Pause);
        }
        return stored;
    }
}
