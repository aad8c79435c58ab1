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
    private Subscription _subscription = subscription;
    private HashSet<ClaimedPartition> _held = [];
    private bool _isFirst = true;
    private bool _isTopicMissing;
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
                var wait = attempt == 0 ? _isTopicMissing ? Least(options.MetadataMaxAge, reader.RetryBackoffMax) : options.MetadataMaxAge
                    : RetryBackoff.For(attempt, reader.RetryBackoff, reader.RetryBackoffMax, reader.Random.NextDouble());
                await WaitAsync(wait).ConfigureAwait(false);
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
            topics = await broker.ListTopicsAsync(_stop.Token).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Action == ErrorAction.Retry)
        {
            LogRetry(e.Message);
            return false;
        }
        var subscription = Volatile.Read(ref _subscription);
        TopicListing[] found = [.. SubscribedTopics.Of(subscription, topics)];
        _isTopicMissing = found.Length < Math.Max(1, subscription.Topics.Count);
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

    private static TimeSpan Least(TimeSpan left, TimeSpan right) => left < right ? left : right;

    private async Task WaitAsync(TimeSpan wait)
    {
        using var limit = new CancellationTokenSource(wait, reader.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, _stop.Token);
        try
        {
            await _changed.WaitAsync(either.Token).ConfigureAwait(false);
            _isFirst = true; // The options decide where the new topics start.
        }
        catch (OperationCanceledException) when (!_stop.IsCancellationRequested)
        {
            // A new subscription ends the wait.
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
