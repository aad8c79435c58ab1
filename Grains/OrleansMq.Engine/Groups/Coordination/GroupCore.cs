using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>
/// One group's coordinator without tasks, I/O and clock: commands in, effects out. It decides on a working state that is ahead of what is
/// stored, and releases an answer when the state that it reveals is stored. Not thread safe: its owner hands it one command after the
/// other.
/// </summary>
public sealed partial class GroupCore
{
    private readonly string _groupId;
    private readonly int _brokerId;
    private readonly GroupOptions _options;
    private readonly GroupRules _rules;
    private readonly List<GroupEffect> _effects = [];
    private GroupTopics _topics;
    private DateTimeOffset _now;
    private bool _isDeposed;

    // The working state. Whether the group exists is a question of its own: ids that wait to be joined with make no group.
    private bool _exists;
    private ClassicGroup? _classic;
    private ConsumerGroup? _consumer; // At most one of the two.
    private GroupOffsets _offsets = GroupOffsets.Empty;

    /// <summary>Takes a group up.</summary>
    /// <param name="groupId">Its id.</param>
    /// <param name="brokerId">The broker that coordinates it, for descriptions.</param>
    /// <param name="options">Bounds and times.</param>
    /// <param name="topics">The topics that are known now.</param>
    /// <param name="token">Random, never used before.</param>
    /// <param name="stored">What is stored of the group. Where there is something, it is claimed before anything is answered.</param>
    /// <param name="now">The time.</param>
    public GroupCore(string groupId, int brokerId, GroupOptions options, GroupTopics topics, Guid token, StoredGroup stored,
        DateTimeOffset now)
        : this(groupId, brokerId, options, topics, token, stored, now, GroupRules.Shipped)
    {
    }

    internal GroupCore(string groupId, int brokerId, GroupOptions options, GroupTopics topics, Guid token, StoredGroup stored,
        DateTimeOffset now, GroupRules rules)
    {
        _rules = rules;
        _groupId = groupId;
        _brokerId = brokerId;
        _options = options;
        _topics = topics;
        _now = now;
        _claim = new CoordinatorClaim(0, token);
        Adopt(stored);
        FinishCommand();
    }

    /// <summary>Whether there is nothing that the next owner of this group would not know: no group, no given ids, nobody who
    /// waits.</summary>
    public bool IsVacant => !_exists && !IsStoring && _held.Count == 0 && (_classic is null || _classic.Round.Pending.IsEmpty);

    /// <summary>The working state, for those who judge it; null: no group of the classic protocol.</summary>
    internal ClassicGroup? Classic => _classic;

    /// <summary>The working state, for those who judge it; null: no group of the consumer protocol.</summary>
    internal ConsumerGroup? Consumer => _consumer;

    /// <summary>Whether another coordinator owns the group.</summary>
    public bool IsDeposed => _isDeposed;

    /// <summary>Takes the effects that have come up since the last call, to be carried out in order.</summary>
    public void TakeEffects(List<GroupEffect> into)
    {
        into.AddRange(_effects);
        _effects.Clear();
    }

    /// <summary>Carries a command out.</summary>
    /// <param name="command">What has come.</param>
    /// <param name="now">The time; never before that of the last command.</param>
    public void Execute(GroupCommand command, DateTimeOffset now)
    {
        _now = now > _now ? now : _now;
        switch (command)
        {
            case GroupRequest request:
                Handle(request);
                break;
            case AbandonRequest abandoned:
                Abandon(abandoned.RequestId);
                break;
            case StoreCompleted stored:
                OnStored(stored);
                break;
            case StoreFailed failed:
                OnStoreFailed(failed);
                break;
            case ReadCompleted read:
                OnRead(read.Stored);
                break;
            case ReadFailed failed:
                OnReadFailed(failed.Reason);
                break;
            case ClaimRead read:
                OnClaimRead(read);
                break;
            case ClaimReadFailed failed:
                OnClaimReadFailed(failed);
                break;
            case Wake:
                OnWake();
                break;
            case TopicsChanged changed:
                OnTopics(changed.Topics);
                break;
            default:
                throw new ArgumentException($"No command: {command}.", nameof(command));
        }
        FinishCommand();
    }

    private void Handle(GroupRequest request)
    {
        if (_isDeposed)
        {
            AnswerNow(request, ErrorCode.NotCoordinator, "Another broker coordinates the group: find the coordinator, and retry.");
            return;
        }
        if (IsRecovering)
        {
            if (FindQuietAnswer(request.Body) is { } quiet)
                _effects.Add(new Reply(request.RequestId, quiet));
            else
                AnswerNow(request, ErrorCode.CoordinatorLoadInProgress,
                    "The coordinator reads the group's state again after a write that failed: retry.");
            return;
        }
        ForgetWhatHasExpired();
        switch (request.Body)
        {
            case JoinGroup join:
                Join(request, join);
                break;
            case SyncGroup sync:
                Sync(request, sync);
                break;
            case Heartbeat heartbeat:
                Heartbeat(request, heartbeat);
                break;
            case LeaveGroup leave:
                Leave(request, leave);
                break;
            case ConsumerGroupHeartbeat heartbeat:
                ConsumerHeartbeat(request, heartbeat);
                break;
            case OffsetCommit commit:
                Commit(request, commit);
                break;
            case OffsetFetch fetch:
                Fetch(request, fetch);
                break;
            case OffsetDelete delete:
                DeleteOffsets(request, delete);
                break;
            case DescribeGroup:
                Describe(request);
                break;
            case ListGroup:
                List(request);
                break;
            case DeleteGroup:
                Delete(request);
                break;
            default:
                throw new ArgumentException($"No request of a group: {request.Body}.", nameof(request));
        }
    }

    private void FinishCommand()
    {
        if (!_isDeposed)
        {
            AnswerWaiting();
            IssueWrites();
            ConfirmIfAsked();
        }
        ReleaseReplies();
        ScheduleWake();
    }

    private void AnswerNow(GroupRequest request, ErrorCode error, string message) =>
        _effects.Add(new Reply(request.RequestId, request.Body.Refuse(error, message)));

    private void Log(EngineLogLevel level, string message) => _effects.Add(new LogLine(level, $"Group '{_groupId}': {message}"));
}
