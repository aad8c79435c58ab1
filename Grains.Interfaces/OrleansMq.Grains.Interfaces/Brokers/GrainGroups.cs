using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Consumer groups over grains, for a silo or an Orleans client. Thread safe. A call that the cluster does not answer ends as
/// <see cref="ErrorCode.CoordinatorNotAvailable"/>. While a group moves to another broker, calls are retried for
/// <see cref="GrainBrokerOptions.LeaderPatience"/>.
/// </summary>
internal sealed class GrainGroups(IGrainFactory grains, GrainBrokerOptions options) : IGroupCoordinator
{
    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request.Answer(request is ConsumerGroupHeartbeat heartbeat
            ? await PollAsync(heartbeat, cancellationToken).ConfigureAwait(false)
            : await AskAsync(request, cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default)
    {
        var answer = await CallAsync(groupId, async grain => await grain.FindCoordinatorAsync(cancellationToken).ConfigureAwait(false),
            static (error, message) => new GroupReply(error, message), cancellationToken).ConfigureAwait(false);
        return answer is GroupReply refusal ? throw new BrokerException(refusal.Error, refusal.Message!) : (int)answer;
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
        await ListAsync(grain => grain.ListAsync(cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken = default) =>
        await ListAsync(grain => grain.ListConfiguredAsync(cancellationToken), cancellationToken).ConfigureAwait(false);

    private async Task<TFound[]> ListAsync<TFound>(Func<IGroupListGrain, Task<TFound[]>> list, CancellationToken cancellationToken)
    {
        try
        {
            return await list(grains.GetBrokerGrain<IGroupListGrain>(GrainKeys.Cluster, ErrorCode.CoordinatorNotAvailable))
                .WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"Listing the groups was not answered by the cluster. Retry. ({exception.Message})", exception);
        }
    }

    private ValueTask<object> AskAsync(IGroupRequest request, CancellationToken cancellationToken)
    {
        var wait = request.WaitsForOthers ? Guid.NewGuid() : default;
        return CallAsync(request.GroupId, grain => WaitAsync(grain, request, wait, cancellationToken), request.Refuse, cancellationToken);
    }

    /// <summary>Waits in calls that are short enough to notice a silo's death.</summary>
    private static async Task<object> WaitAsync(IGroupGrain grain, IGroupRequest request, Guid wait, CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (await grain.SendAsync(request, wait, cancellationToken).ConfigureAwait(false) is { } answer)
                return answer;
        }
    }

    /// <summary>Polls for changes in calls that are short enough to notice a silo's death. Each is a heartbeat of its own.</summary>
    private async ValueTask<object> PollAsync(ConsumerGroupHeartbeat request, CancellationToken cancellationToken)
    {
        IGroupRequest whole = request;
        var began = options.TimeProvider.GetTimestamp();
        while (true)
        {
            var left = request.MaxWait - options.TimeProvider.GetElapsedTime(began);
            var last = left <= options.MaxWaitPerCall;
            var poll = request with
            {
                MaxWait = last ? left > TimeSpan.Zero ? left : TimeSpan.Zero : options.MaxWaitPerCall,
                Subscriber = request.Subscriber ?? Subscriber.Broker,
            };
            var answer = await CallAsync(request.GroupId, SendAsync, whole.Refuse, cancellationToken).ConfigureAwait(false);
            if (last || answer is not ConsumerGroupHeartbeatResult { Error: ErrorCode.None, Assignment: null } result
                || result.MemberEpoch != request.MemberEpoch)
                return answer;

            Task<object> SendAsync(IGroupGrain grain)
            {
                var beat = poll;
                // A retry after the silo died before it answered: its decision may already be stored.
                poll = poll with { IsRepeated = true };
                return WaitAsync(grain, beat, default, cancellationToken);
            }
        }
    }

    private async ValueTask<object> CallAsync(string groupId, Func<IGroupGrain, Task<object>> call, Func<ErrorCode, string, object> refuse,
        CancellationToken cancellationToken)
    {
        // Refuse an id that no group can have, so that it never activates a grain.
        if (GroupId.FindProblem(groupId) is { } problem)
            return refuse(ErrorCode.InvalidGroupId, problem);
        var (isUnreachable, id, attempt) = (false, Guid.NewGuid(), 0);
        return await LeaderPatience.RepeatAsync(options, TryAsync,
            answer => isUnreachable || answer is IGroupAnswer { Error: ErrorCode.NotCoordinator }, cancellationToken)
            .ConfigureAwait(false);

        async ValueTask<object> TryAsync()
        {
            isUnreachable = false;
            CallAttempts.Carry(id, ++attempt);
            try
            {
                var grain = grains.GetBrokerGrain<IGroupGrain>(groupId, ErrorCode.CoordinatorNotAvailable);
                return await call(grain).WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException refused)
            {
                return refuse(refused.Code, refused.Message);
            }
            catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
            {
                // The silo is gone or not yet reachable: the next call finds another. A call that timed out is for its sender to repeat.
                isUnreachable = exception is not TimeoutException;
                return refuse(ErrorCode.CoordinatorNotAvailable,
                    $"The coordinator of group '{groupId}' did not answer; whether the request was carried out is unknown. Retry. "
                    + $"({exception.GetType().Name}: {exception.Message})");
            }
        }
    }
}
