using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Groups.Coordination;

/// <summary>One group's coordinator without tasks, I/O and clock: the working state of a group, and the decisions on it.</summary>
public sealed partial class GroupCore : CoordinatorCore
{
    private readonly string _groupId;
    private readonly int _brokerId;
    private readonly GroupOptions _options;
    private readonly GroupRules _rules;
    private GroupTopics _topics;

    // The working state. Whether the group exists is a question of its own: ids that wait to be joined with make no group.
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
        : base(GroupDocuments.Kind, groupId, token, now, rules)
    {
        _rules = rules;
        _groupId = groupId;
        _brokerId = brokerId;
        _options = options;
        _topics = topics;
        Begin(stored);
    }

    /// <inheritdoc/>
    public override bool IsVacant => base.IsVacant && (_classic is null || _classic.Round.Pending.IsEmpty);

    /// <summary>The working state, for checkers; null: no group of the classic protocol.</summary>
    internal ClassicGroup? Classic => _classic;

    /// <summary>The working state, for checkers; null: no group of the consumer protocol.</summary>
    internal ConsumerGroup? Consumer => _consumer;

    /// <inheritdoc/>
    protected override void OnCommand(CoordinatorCommand command)
    {
        if (command is TopicsChanged changed)
            OnTopics(changed.Topics);
        else
            base.OnCommand(command);
    }

    /// <inheritdoc/>
    protected override void Handle(CoordinatorRequest request)
    {
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
}
