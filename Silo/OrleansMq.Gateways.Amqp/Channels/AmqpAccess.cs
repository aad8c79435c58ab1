using System.Collections.Concurrent;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>Logs users in, and opens virtual hosts. Thread safe.</summary>
/// <param name="registry">The open queues.</param>
/// <param name="replies">The channels that take answers.</param>
/// <param name="maxConsumers">The most consumers of one connection.</param>
/// <param name="maxConsumersOfUser">The most consumers of one user.</param>
internal sealed class AmqpAccess(QueueRegistry registry, DirectReplies replies, int maxConsumers, int maxConsumersOfUser) : IAmqpAccess
{
    /// <inheritdoc/>
    public async ValueTask<LoginResult> LoginAsync(AmqpLogin login, AmqpClient client)
    {
        if (await registry.Logins.CheckAsync(registry.Hosts.Users, login.User, login.Password, client.Remote.Address)
            .ConfigureAwait(false) is not { } user)
            return new LoginResult(LoginOutcome.Refused, "the user is unknown, its password is wrong, or it may not log in from there");
        client.UserId = user.Id;
        return new LoginResult(LoginOutcome.Accepted);
    }

    /// <inheritdoc/>
    public async ValueTask<IAmqpSession> OpenAsync(string virtualHost, AmqpClient client)
    {
        try
        {
            var image = registry.Hosts.Find(virtualHost) ?? await registry.Hosts.RefreshAsync(virtualHost).ConfigureAwait(false);
            // One that was deleted since the login, and made again, is another user.
            if (registry.Hosts.Users.FindUser(client.User) is not { } user || user.Id != client.UserId)
                throw new AmqpException(ReplyCode.NotAllowed, $"access to vhost '{virtualHost}' refused for user '{client.User}'");
            if (UserAccess.CheckOpen(virtualHost, user, image is not null, image?.Settings.Permissions.GetValueOrDefault(user.Name))
                is { } refusal)
                throw refusal.ToException();
            var most = image!.Settings.MaxConnections;
            var id = registry.TryConnect(virtualHost, most) ?? throw new AmqpException(ReplyCode.NotAllowed,
                $"access to vhost '{virtualHost}' refused for user '{user.Name}': connection limit ({most}) is reached");
            return new AmqpSession(registry, replies, image!, user, id, AmqpLogins.TextOf(client.Remote.Address),
                new ConsumerPlaces(maxConsumers, registry.Consumers, user.Name, maxConsumersOfUser));
        }
        catch (BrokerException fault)
        {
            throw new AmqpException(ReplyCode.InternalError, $"vhost '{virtualHost}' could not be opened: {fault.Message}");
        }
    }
}

/// <summary>A connection in its virtual host: its identity, its rights and its exclusive queues. Thread safe.</summary>
internal sealed class AmqpSession : IAmqpSession
{
    // Of all channels: eight that publish to queues that do not answer, or a few of the largest messages.
    private const long MaxPublishing = 64L << 20;

    // How many readers of basic.get all channels have before each keeps one that holds nothing.
    internal const int MaxGetters = 256;

    private readonly string _user;
    private readonly long _userId;
    private readonly string _host;
    private readonly int _firstEpoch;
    private volatile VirtualHostImage _image;
    private volatile Rights? _rights;
    // The owner may have given the connection what this broker's image does not have.
    private volatile bool _isUnclear;
    // Null until the user publishes to a topic.
    private ConcurrentDictionary<string, Lazy<Task<TopicPublisher>>>? _publishers;
    private int _getters;

    /// <param name="registry">The open queues.</param>
    /// <param name="replies">The channels that take answers.</param>
    /// <param name="image">The virtual host.</param>
    /// <param name="user">The user that has logged in.</param>
    /// <param name="id">The connection's id, which the registry has given it.</param>
    /// <param name="host">The client's address.</param>
    /// <param name="consumers">The places for the consumers of all channels.</param>
    public AmqpSession(QueueRegistry registry, DirectReplies replies, VirtualHostImage image, UserState user, string id, string host,
        ConsumerPlaces consumers) =>
        (Registry, Replies, _image, _firstEpoch, _user, _userId, _host, Id, Deliveries, Kept, Consumers) =
            (registry, replies, image, image.Settings.FirstEpoch, user.Name, user.Id, host, id,
            new UnreadDeliveries(registry.Unread), new ConnectionCopies(registry.Kept), consumers);

    /// <summary>The connection's id, which no other connection ever has.</summary>
    public string Id { get; }

    /// <summary>The virtual host.</summary>
    public string VirtualHost => _image.Name;

    /// <summary>The open queues.</summary>
    public QueueRegistry Registry { get; }

    /// <summary>The channels that take answers.</summary>
    public DirectReplies Replies { get; }

    /// <summary>The publishes of all channels that no queue has answered.</summary>
    public PublishWindow Publishes { get; } = new(MaxPublishing);

    /// <summary>The room for the copies that go to further queues than a message's first, of all channels.</summary>
    public CopyRoom Copies { get; } = new(MaxPublishing);

    /// <summary>What the consumers of all channels have received for the client, which has not read it yet.</summary>
    public UnreadDeliveries Deliveries { get; }

    /// <summary>The messages of all channels that the client has not acknowledged, and that become dead letters where it rejects
    /// them.</summary>
    public ConnectionCopies Kept { get; }

    /// <summary>The places for the consumers of all channels.</summary>
    public ConsumerPlaces Consumers { get; }

    /// <summary>Whether the channels have so many readers of <c>basic.get</c> that each is to keep one that holds nothing, and those that
    /// hold messages.</summary>
    public bool HasManyGetters => Volatile.Read(ref _getters) >= MaxGetters;

    /// <summary>The clock.</summary>
    public TimeProvider Time => Registry.Time;

    /// <summary>The log.</summary>
    public EngineLog Log => Registry.Log;

    /// <summary>The newest image of the virtual host.</summary>
    /// <exception cref="AmqpException">It is deleted.</exception>
    public VirtualHostImage Image => _image = Registry.Hosts.Find(VirtualHost) ?? throw Deleted();

    /// <summary>What the user may do.</summary>
    public UserAccess Access
    {
        get
        {
            var image = Image;
            var user = FindUser() ?? throw new AmqpException(ReplyCode.ConnectionForced, UserDeleted);
            if (_rights is { } known && ReferenceEquals(known.User, user) && ReferenceEquals(known.Settings, image.Settings))
                return known.Access;
            var access = image.AccessOf(user, Registry.ReportSlowPermission);
            _rights = new Rights(user, image.Settings, access);
            return access;
        }
    }

    /// <inheritdoc/>
    /// <remarks>A virtual host, or user, that was deleted and made again is another one.</remarks>
    public string? EndReason => Registry.Hosts.Find(VirtualHost)?.Settings.FirstEpoch != _firstEpoch ? HostDeleted
        : FindUser() is null ? UserDeleted : null;

    /// <inheritdoc/>
    public IAmqpChannel CreateChannel(IChannelClient client) => new AmqpChannel(this, client);

    /// <summary>A channel has more readers of <c>basic.get</c>, or fewer: below 0.</summary>
    public void CountGetters(int change) => Interlocked.Add(ref _getters, change);

    /// <summary>Asks the owner for what is newer than the image.</summary>
    public async ValueTask<VirtualHostImage> RefreshAsync() =>
        await Registry.Hosts.RefreshAsync(VirtualHost).ConfigureAwait(false) ?? throw Deleted();

    /// <summary>Has the owner decide on a command.</summary>
    public async ValueTask<VirtualHostAnswer> SendAsync(VirtualHostCommand command)
    {
        try
        {
            return await Registry.Hosts.SendAsync(VirtualHost, command).ConfigureAwait(false);
        }
        catch (BrokerException)
        {
            _isUnclear = true;
            throw;
        }
    }

    /// <summary>Opens a topic's partition as a stream, which the user reads.</summary>
    /// <inheritdoc cref="QueueRegistry.OpenTopicAsync" path="/exception"/>
    public ValueTask<QueueEntry> OpenTopicAsync(TopicStream stream) => Registry.OpenTopicAsync(VirtualHost, stream, _user, _host);

    /// <summary>Opens a topic, to which the user publishes.</summary>
    /// <inheritdoc cref="QueueRegistry.OpenPublisherAsync" path="/exception"/>
    public async ValueTask<TopicPublisher> OpenPublisherAsync(TopicStream stream)
    {
        var publishers = LazyInitializer.EnsureInitialized(ref _publishers,
            static () => new ConcurrentDictionary<string, Lazy<Task<TopicPublisher>>>(StringComparer.Ordinal));
        var opening = publishers.GetOrAdd(stream.Topic, _ => new Lazy<Task<TopicPublisher>>(() =>
            Registry.OpenPublisherAsync(VirtualHost, stream, _user, _host)));
        try
        {
            return await opening.Value.ConfigureAwait(false);
        }
        catch
        {
            publishers.TryRemove(KeyValuePair.Create(stream.Topic, opening));
            throw;
        }
    }

    /// <summary>Publishes a message to a topic.</summary>
    /// <param name="publisher">The topic's publisher.</param>
    /// <param name="stream">The topic.</param>
    /// <param name="message">The message.</param>
    public async Task<PublishOutcome> PublishAsync(TopicPublisher publisher, TopicStream stream, AmqpMessage message)
    {
        var outcome = await publisher.PublishAsync(stream, message).ConfigureAwait(false);
        if (outcome != PublishOutcome.Gone)
            return outcome;
        // The next publish finds no topic, or one that was created again.
        foreach (var entry in _publishers!.Where(entry => entry.Value.Value is { IsCompletedSuccessfully: true } opened
            && ReferenceEquals(opened.Result, publisher)))
            _publishers!.TryRemove(entry);
        return PublishOutcome.Unknown;
    }

    /// <summary>Adds a consumer of a queue.</summary>
    /// <inheritdoc cref="QueueEntry.AddAsync" path="/exception"/>
    public async ValueTask ConsumeAsync(QueueEntry entry, IQueueConsumer consumer, bool isExclusive)
    {
        try
        {
            await entry.AddAsync(consumer, Id, isExclusive).ConfigureAwait(false);
        }
        catch (BrokerException)
        {
            _isUnclear = true;
            throw;
        }
    }

    /// <inheritdoc/>
    /// <remarks>A user's password never expires, so there is no secret to replace: the connection continues as long as its user exists.
    /// RabbitMQ does the same for its own users, and clients that refresh tokens rely on it.</remarks>
    public ValueTask<bool> UpdateSecretAsync(LongString secret, string reason) => new(FindUser() is not null);

    /// <inheritdoc/>
    public async ValueTask EndAsync()
    {
        Registry.Closed(Id);
        Deliveries.Copies.End();
        Kept.End();
        if (Registry.Hosts.Find(VirtualHost) is not { } image)
            return;
        var queues = image.Topology.QueuesOf(Id).Select(image.Topology.FindQueue).OfType<QueueState>().ToArray();
        if (queues.Length == 0 && !_isUnclear && !image.Topology.HasConsumers(Id))
            return;
        if (!await Registry.EndConnectionAsync(VirtualHost, Id).ConfigureAwait(false))
            return;
        foreach (var queue in queues)
            await Registry.EndAsync(VirtualHost, queue).ConfigureAwait(false);
    }

    /// <summary>Takes a queue, exchange or binding that is created or deleted from the user's quota.</summary>
    /// <exception cref="AmqpException">It is used up.</exception>
    public void Mutate(bool isDurable)
    {
        if (Registry.Mutate(_user, isDurable) is { } refusal)
            throw new AmqpException(ReplyCode.PreconditionFailed, refusal);
    }

    private UserState? FindUser() => Registry.Hosts.Users.FindUser(_user) is { } user && user.Id == _userId ? user : null;

    private string HostDeleted => $"vhost '{VirtualHost}' was deleted";

    private string UserDeleted => $"user '{_user}' was deleted";

    private AmqpException Deleted() => new(ReplyCode.ConnectionForced, HostDeleted);

    private sealed record Rights(UserState User, VirtualHostSettings Settings, UserAccess Access);
}
