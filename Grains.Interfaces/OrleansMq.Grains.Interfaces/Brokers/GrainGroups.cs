using OrleansMq.Api;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Consumer groups over grains, for a silo or an Orleans client. Thread safe. A call that the cluster does not answer ends as
/// <see cref="ErrorCode.CoordinatorNotAvailable"/>. While a group moves to another broker a call is sent again for a while
/// (<see cref="GrainBrokerOptions.LeaderPatience"/>).
/// </summary>
internal sealed class GrainGroups(IGrainFactory grains, GrainBrokerOptions options) : IGroupCoordinator
{
    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) => ValueOf(
        await AskAsync(groupId, grain => grain.FindCoordinatorAsync(), cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default)
    {
        var wait = Guid.NewGuid();
        return CallAsync(request.GroupId, grain => WaitAsync(() => grain.JoinGroupAsync(request, wait), cancellationToken),
            static result => result.Error,
            static (error, message) => JoinGroupResult.Failed(error, message), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken = default)
    {
        var wait = Guid.NewGuid();
        return CallAsync(request.GroupId, grain => WaitAsync(() => grain.SyncGroupAsync(request, wait), cancellationToken),
            static result => result.Error,
            static (error, message) => new SyncGroupResult(error, message), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default) =>
        CallAsync(request.GroupId, grain => grain.HeartbeatAsync(request), static result => result.Error,
            static (error, message) => new GroupReply(error, message),
            cancellationToken);

    /// <inheritdoc/>
    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default) =>
        CallAsync(request.GroupId, grain => grain.LeaveGroupAsync(request), static result => result.Error,
            static (error, message) => new LeaveGroupResult(error, [], message), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken = default)
    {
        var began = options.TimeProvider.GetTimestamp();
        while (true)
        {
            var left = request.MaxWait - options.TimeProvider.GetElapsedTime(began);
            var last = left <= options.MaxWaitPerCall;
            var poll = request with { MaxWait = last ? left > TimeSpan.Zero ? left : TimeSpan.Zero : options.MaxWaitPerCall };
            var result = await CallAsync(request.GroupId, SendAsync, static result => result.Error,
                static (error, message) => ConsumerGroupHeartbeatResult.Failed(error, message), cancellationToken).ConfigureAwait(false);
            if (last || result.Error != ErrorCode.None || result.Assignment is not null || result.MemberEpoch != request.MemberEpoch)
                return result;

            Task<ConsumerGroupHeartbeatResult> SendAsync(IGroupGrain grain)
            {
                var beat = poll;
                // Sent again where its silo was gone before it answered: what was decided for it may be stored.
                poll = poll with { IsRepeated = true };
                return grain.ConsumerGroupHeartbeatAsync(beat);
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default) =>
        CallAsync(request.GroupId, grain => grain.CommitOffsetsAsync(request),
            static result => result.Partitions is [{ Error: ErrorCode.NotCoordinator }, ..] ? ErrorCode.NotCoordinator : ErrorCode.None,
            (error, message) => new OffsetCommitResult(
                [.. request.Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error, offset.TopicId))], message),
                cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default) =>
        CallAsync(request.GroupId, grain => grain.FetchOffsetsAsync(request), static result => result.Error,
            static (error, message) => new OffsetFetchResult(error, [], message), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default) =>
        CallAsync(request.GroupId, grain => grain.DeleteOffsetsAsync(request), static result => result.Error,
            static (error, message) => new OffsetDeleteResult(error, [], message), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            return await grains.GetGrain<IGroupListGrain>(GrainKeys.Cluster).ListAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"Listing the groups was not answered by the cluster. Retry. ({exception.Message})", exception);
        }
    }

    /// <inheritdoc/>
    public async ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken = default) => ValueOf(
        await AskAsync(groupId, grain => grain.DescribeAsync(), cancellationToken).ConfigureAwait(false));

    /// <inheritdoc/>
    public async ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken = default)
    {
        ValueOf(await AskAsync(groupId, DeleteAsync, cancellationToken).ConfigureAwait(false));

        static async Task<bool> DeleteAsync(IGroupGrain grain)
        {
            await grain.DeleteAsync().ConfigureAwait(false);
            return true;
        }
    }

    /// <summary>Waits in calls that are short enough to notice a silo's death.</summary>
    private static async Task<T> WaitAsync<T>(Func<Task<T?>> call, CancellationToken cancellationToken) where T : class
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (await call().ConfigureAwait(false) is { } result)
                return result;
        }
    }

    private async ValueTask<T> CallAsync<T>(string groupId, Func<IGroupGrain, Task<T>> call, Func<T, ErrorCode> errorOf,
        Func<ErrorCode, string, T> failed,
        CancellationToken cancellationToken)
    {
        // An id that no group can have is answered here: it makes no grain.
        if (GroupId.FindProblem(groupId) is { } problem)
            return failed(ErrorCode.InvalidGroupId, problem);
        var grain = grains.GetGrain<IGroupGrain>(groupId);
        var isUnreachable = false;
        return await LeaderPatience.RepeatAsync(options, TryAsync, result => isUnreachable || errorOf(result) == ErrorCode.NotCoordinator,
            cancellationToken)
            .ConfigureAwait(false);

        async ValueTask<T> TryAsync()
        {
            isUnreachable = false;
            try
            {
                return await call(grain).WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (BrokerException refused)
            {
                return failed(refused.Code, refused.Message);
            }
            catch (Exception exception) when (GrainFaults.IsUnanswered(exception))
            {
                // The silo is gone, or not there yet: the next call finds another. A call that got no answer in time is its sender's to
                // repeat.
                isUnreachable = exception is not TimeoutException;
                return failed(ErrorCode.CoordinatorNotAvailable,
                    $"The coordinator of group '{groupId}' did not answer; whether it was done is unknown. Retry. "
                    + $"({exception.GetType().Name}: {exception.Message})");
            }
        }
    }

    // Administration throws, so its errors travel beside its answers until it is done.
    private ValueTask<(T? Value, ErrorCode Error, string? Message)> AskAsync<T>(string groupId, Func<IGroupGrain, Task<T>> call,
        CancellationToken cancellationToken) =>
        CallAsync(groupId,
            async grain => (Value: (T?)await call(grain).ConfigureAwait(false), Error: ErrorCode.None, Message: (string?)null),
            static result => result.Error, static (error, message) => (Value: default(T), Error: error, Message: message),
            cancellationToken);

    private static T ValueOf<T>((T? Value, ErrorCode Error, string? Message) answer) =>
        answer.Error == ErrorCode.None ? answer.Value! : throw new BrokerException(answer.Error, answer.Message!);
}
