using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>A consumer without group membership: it reads all partitions of its topics, and polls for new ones.</summary>
internal sealed partial class BroadcastMember(IBroker broker, ConsumerOptions options, ReaderOptions reader, IAssignmentTarget target,
    Subscription subscription, ILogger logger) : IMembership
{
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _changed = new(0);
    private readonly MissingTopics _missing = new(broker, options, reader);
    private Subscription _subscription = subscription;
    private HashSet<ClaimedPartition> _held = [];
    private bool _isFirst = true;
    private bool _hasLooked;
    private Task _loop = Task.CompletedTask;

    public ConsumerGroupMetadata Metadata { get; } = new(options.GroupId, "", -1, null);

    public void Start() => _loop = Task.Run(RunAsync);

    public void Change(Subscription subscription)
    {
        Volatile.Write(ref _subscription, subscription);
        _changed.Release();
    }

    public void SessionIsOver()
    {
        // There is no session.
    }

    public async Task LeaveAsync(bool forGood, CancellationToken cancellationToken)
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        try
        {
            for (var attempt = 0; ;)
            {
                attempt = await LookAsync().ConfigureAwait(false) ? 0 : attempt + 1;
                if (attempt == 0)
                    await WaitForNewsAsync().ConfigureAwait(false);
                else
                    await WaitAsync(reader.BackoffAfter(attempt)).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Leaving.
        }
        catch (Exception e)
        {
            target.Fail(new ConsumerGroupException(ErrorCode.UnknownServerError, options.GroupId, $"{e.GetType().Name}: {e.Message}", e));
        }
    }

    private async Task<bool> LookAsync()
    {
        IReadOnlyList<TopicListing> topics;
        try
        {
            topics = await ConfirmAsync(await broker.ListTopicsAsync(_stop.Token).ConfigureAwait(false)).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry || (_hasLooked && !IsOfTheClient(e.Code)))
        {
            LogRetry(e.Message);
            return false;
        }
        _hasLooked = true;
        var subscription = Volatile.Read(ref _subscription);
        TopicListing[] found = [.. SubscribedTopics.Of(subscription, topics)];
        _missing.Set(subscription.Topics.Except(found.Select(static topic => topic.Name), StringComparer.Ordinal),
            isMatchMissing: subscription.Regex is not null && found.Length == 0);
        var wanted = found
            .SelectMany(static topic => Enumerable.Range(0, topic.Partitions)
                .Select(partition => new ClaimedPartition(new TopicPartition(topic.Name, partition), topic.TopicId)))
            .ToHashSet();
        await target.RevokeAsync([.. _held.Except(wanted).Select(static item => item.Partition)]).ConfigureAwait(false);
        // Partitions added later are read from their first record; otherwise records written before the next poll would be missed.
        await target.AddAsync([.. wanted.Except(_held)], _isFirst ? null : ReadFrom.Earliest).ConfigureAwait(false);
        (_held, _isFirst) = (wanted, false);
        return true;
    }

    // Once a broker has listed the topics, the request is a right one. Other refusals are those of something in between, such as a proxy.
    private static bool IsOfTheClient(ErrorCode refusal) => refusal is ErrorCode.TopicAuthorizationFailed
        or ErrorCode.GroupAuthorizationFailed or ErrorCode.ClusterAuthorizationFailed or ErrorCode.SaslAuthenticationFailed;

    /// <summary>Returns a list of topics with what it lacks and exists. A list may be older than the one before; what was revoked for it
    /// would be read again from its first record.</summary>
    private async Task<IReadOnlyList<TopicListing>> ConfirmAsync(IReadOnlyList<TopicListing> topics)
    {
        var listed = topics.ToDictionary(static topic => topic.Name, StringComparer.Ordinal);
        var doubtful = _held.Where(item => !(listed.TryGetValue(item.Partition.Topic, out var topic) && topic.TopicId == item.TopicId
            && item.Partition.Partition < topic.Partitions)).Select(static item => item.Partition.Topic).ToHashSet(StringComparer.Ordinal);
        foreach (var name in doubtful)
        {
            try
            {
                var topic = await broker.DescribeTopicAsync(name, _stop.Token).ConfigureAwait(false);
                listed[name] = new TopicListing(topic.Name, topic.TopicId, topic.Partitions.Count);
            }
            catch (BrokerException e) when (e.Code is ErrorCode.UnknownTopicOrPartition or ErrorCode.TopicAuthorizationFailed)
            {
                listed.Remove(name);
            }
        }
        return doubtful.Count == 0 ? topics : [.. listed.Values];
    }

    /// <summary>Waits until the topics are to be listed again: after <see cref="ConsumerOptions.MetadataMaxAge"/>, when the subscription
    /// has changed, or when a missing topic may exist.</summary>
    private async Task WaitForNewsAsync()
    {
        var listedAt = reader.TimeProvider.GetTimestamp();
        while (true)
        {
            var wait = options.MetadataMaxAge - reader.TimeProvider.GetElapsedTime(listedAt);
            if (wait <= TimeSpan.Zero)
                return;
            if (_missing.IsAny && _missing.NextWait() is var next && next < wait)
                wait = next;
            if (await WaitAsync(wait).ConfigureAwait(false)
                || (_missing.IsAny && await _missing.MayExistAsync(_stop.Token).ConfigureAwait(false)))
                return;
        }
    }

    /// <summary>Waits. Returns true if the subscription changed in the meantime.</summary>
    private async Task<bool> WaitAsync(TimeSpan wait)
    {
        using var limit = new CancellationTokenSource(wait, reader.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _stop.Token);
        try
        {
            await _changed.WaitAsync(either.Token).ConfigureAwait(false);
            _isFirst = true; // The options decide where the new topics start.
            return true;
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            return false;
        }
    }

    [LoggerMessage(33, LogLevel.Warning, "Topics cannot be listed yet; retrying. {Reason}")]
    private partial void LogRetry(string reason);
}

/// <summary>Resolves a subscription to topics.</summary>
internal static class SubscribedTopics
{
    /// <summary>Returns those of <paramref name="topics"/> that are subscribed by name, or whose whole name matches the pattern.</summary>
    /// <exception cref="ArgumentException">The pattern is not a valid regular expression.</exception>
    public static IEnumerable<TopicListing> Of(Subscription subscription, IReadOnlyList<TopicListing> topics)
    {
        if (subscription.Regex is null)
            return topics.Where(topic => subscription.Topics.Contains(topic.Name, StringComparer.Ordinal));
        // Matches in linear time, as RE2 does: no pattern can hang the consumer.
        var regex = new Regex($"^(?:{subscription.Regex})$", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        return topics.Where(topic => regex.IsMatch(topic.Name));
    }
}
