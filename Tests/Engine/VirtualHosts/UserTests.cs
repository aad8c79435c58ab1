using System.Text.Json;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

public sealed class UserTests
{
    private static readonly UserState Ann = new() { Name = "ann", Id = 5, PasswordHash = PasswordHash.Create("secret", [1, 2, 3, 4]) };
    private static readonly ExchangeState Events = new() { Name = "events", Id = 7, Type = "topic" };

    private static UserAccess Access(string configure = "", string write = "", string read = "", TopicPermission? topics = null) =>
        new(Ann, "/", new UserPermissions
        {
            UserId = Ann.Id,
            Configure = SafePattern.Parse(configure),
            Write = SafePattern.Parse(write),
            Read = SafePattern.Parse(read),
            Topics = topics is null ? UserPermissions.All(5).Topics : UserPermissions.All(5).Topics.Add("events", topics),
        });

    private static void Refused(string text, AmqpRefusal? refusal) =>
        Assert.Equal(new AmqpRefusal(AmqpCode.AccessRefused, text), refusal);

    [Fact]
    public void Topic_permission_holds_for_a_delayed_exchange_that_routes_by_topics()
    {
        var delayed = Events with
        {
            Type = "x-delayed-message",
            Arguments = FieldTable.Of(("x-delayed-type", new TextValue("topic"))),
        };
        var access = Access(write: ".*", read: ".*", topics: new TopicPermission("^mine\\.", "^mine\\."));
        Assert.Null(access.CheckPublish("events", delayed, "mine.x"));
        Refused("write access to topic 'other.x' in exchange 'events' in vhost '/' refused for user 'ann'",
            access.CheckPublish("events", delayed, "mine.x", "other.x"));
        Refused("read access to topic 'other.x' in exchange 'events' in vhost '/' refused for user 'ann'",
            access.CheckBinding(new BindingRequest("events", DestinationKind.Queue, "q", "other.x"), delayed));
        var fanout = delayed with { Arguments = FieldTable.Of(("x-delayed-type", new TextValue("fanout"))) };
        Assert.Null(access.CheckPublish("events", fanout, "other.x"));
    }

    [Fact]
    public void Name_that_takes_too_long_to_match_is_refused_and_reported_and_others_stay_allowed()
    {
        var slow = SafePattern.Of("(a+)+", new BacktrackingPattern(static (name, _) => name == "slow" ? null : true, TimeProvider.System));
        var lines = new List<string>();
        var access = new UserAccess(Ann, "/", UserPermissions.All(5) with { Read = slow }, lines.Add);
        for (var time = 0; time < 10; time++)
        {
            Refused("read access to queue 'slow' in vhost '/' refused for user 'ann'", access.CheckReadQueue("slow"));
            Assert.Null(access.CheckReadQueue("q"));
        }
        Assert.Equal(10, lines.Count);
        Assert.StartsWith("The read permission of user 'ann' in virtual host '/' refused 'slow': its pattern '(a+)+' takes too long",
            lines[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Hash_has_RabbitMQs_format()
    {
        // base64 of 90 8D C6 0A and of SHA-256 over them and "test12": the example of RabbitMQ's documentation.
        Assert.Equal("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", PasswordHash.Create("test12", [0x90, 0x8d, 0xc6, 0x0a]));
        Assert.True(PasswordHash.Verify("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", PasswordHash.Sha256, "test12"));
        Assert.False(PasswordHash.Verify("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", PasswordHash.Sha256, "test13"));
        Assert.False(PasswordHash.Verify("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", PasswordHash.Sha512, "test12"));
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("", "secret")]
    [InlineData("not base64", "secret")]
    [InlineData("AQIDBA==", "")]
    public void Without_a_password_nobody_logs_in(string hash, string password) =>
        Assert.False(UserState.MayLogIn(Ann with { PasswordHash = hash }, password, isLoopback: true));

    [Fact]
    public void Guest_logs_in_from_this_machine_only()
    {
        var guest = Ann with { Name = UserState.Guest };
        Assert.True(UserState.MayLogIn(guest, "secret", isLoopback: true));
        Assert.False(UserState.MayLogIn(guest, "secret", isLoopback: false));
        Assert.True(UserState.MayLogIn(Ann, "secret", isLoopback: false));
        Assert.False(UserState.MayLogIn(Ann, "Secret", isLoopback: true));
        Assert.False(UserState.MayLogIn(null, "secret", isLoopback: true));
    }

    [Fact]
    public void Host_is_opened_with_permissions_of_this_very_user()
    {
        Assert.Null(UserAccess.CheckOpen("/", Ann, true, UserPermissions.All(5)));
        Assert.Equal(new AmqpRefusal(AmqpCode.NotAllowed, "vhost x not found"), UserAccess.CheckOpen("x", Ann, false, null));
        var refused = new AmqpRefusal(AmqpCode.NotAllowed, "access to vhost 'x' refused for user 'ann'");
        Assert.Equal(refused, UserAccess.CheckOpen("x", Ann, true, null));
        Assert.Equal(refused, UserAccess.CheckOpen("x", Ann, true, UserPermissions.All(4)));
        Assert.NotNull(new UserAccess(Ann, "/", UserPermissions.All(4)).CheckReadQueue("q"));
        Assert.Null(new UserAccess(Ann, "/", UserPermissions.All(5)).CheckReadQueue("q"));
    }

    [Fact]
    public void Commands_need_the_permissions_that_RabbitMQ_asks_for()
    {
        var access = Access("^c", "^w|amq.default", "^r");
        Assert.Null(access.CheckDeclareExchange("cx"));
        Assert.Null(access.CheckDeleteExchange("cx"));
        Refused("configure access to exchange 'x' in vhost '/' refused for user 'ann'", access.CheckDeclareExchange("x"));
        Refused("read access to exchange 'cx' in vhost '/' refused for user 'ann'", access.CheckDeclareExchange("cx", "w"));
        Refused("configure access to queue 'q' in vhost '/' refused for user 'ann'", access.CheckDeclareQueue("q"));
        Refused("configure access to queue 'q' in vhost '/' refused for user 'ann'", access.CheckDeleteQueue("q"));
        Refused("write access to exchange 'dlx' in vhost '/' refused for user 'ann'", Access(".*", "", ".*").CheckDeclareQueue("q", "dlx"));
        Refused("read access to queue 'q' in vhost '/' refused for user 'ann'", access.CheckReadQueue("q"));
        Assert.Null(access.CheckReadQueue("rq"));
        Refused("write access to queue 'amq.topic/t' in vhost '/' refused for user 'ann'", access.CheckWriteTopic("amq.topic/t"));
        Assert.Null(Access(write: @"^amq\.topic/t$").CheckWriteTopic("amq.topic/t"));
        Refused("write access to queue 'q' in vhost '/' refused for user 'ann'",
            access.CheckBinding(new BindingRequest("rx", DestinationKind.Queue, "q"), null));
        Refused("read access to exchange 'x' in vhost '/' refused for user 'ann'",
            access.CheckBinding(new BindingRequest("x", DestinationKind.Exchange, "wx"), null));
        Assert.Null(access.CheckBinding(new BindingRequest("rx", DestinationKind.Queue, "wq"), null));
        Assert.Null(access.CheckPublish("", null, "q"));
        Refused("write access to exchange 'amq.default' in vhost '/' refused for user 'ann'",
            Access(write: "^w").CheckPublish("", null, "q"));
    }

    [Fact]
    public void Empty_pattern_allows_the_empty_name_alone()
    {
        Assert.NotNull(Access().CheckReadQueue("q"));
        Assert.Null(Access().CheckDeclareQueue(""));
    }

    [Fact]
    public void Topic_permission_limits_keys_with_the_users_name_in_it()
    {
        var access = Access(".*", ".*", ".*", new TopicPermission(@"^{username}\.", "^public|{vhost}$"));
        Assert.Null(access.CheckPublish("events", Events, "ann.1"));
        Refused("write access to topic 'bob.1' in exchange 'events' in vhost '/' refused for user 'ann'",
            access.CheckPublish("events", Events, "bob.1"));
        Refused("read access to topic '#' in exchange 'events' in vhost '/' refused for user 'ann'",
            access.CheckBinding(new BindingRequest("events", DestinationKind.Queue, "q", "#"), Events));
        Assert.Null(access.CheckBinding(new BindingRequest("events", DestinationKind.Queue, "q", "public.x"), Events));
        Assert.Null(access.CheckPublish("events", Events, "ann.1", "ann.2"));
        Refused("write access to topic 'bob.1' in exchange 'events' in vhost '/' refused for user 'ann'",
            access.CheckPublish("events", Events, "ann.1", "bob.1", "ann.2"));
        // Other exchanges, and other types.
        Assert.Null(access.CheckPublish("other", Events with { Name = "other" }, "bob.1"));
        Assert.Null(access.CheckPublish("events", Events with { Type = "direct" }, "bob.1"));
        // A name is no pattern.
        var dotted = new UserAccess(Ann with { Name = "a.n" }, "/", new UserPermissions
        {
            UserId = 5,
            Write = SafePattern.Everything,
            Topics = UserPermissions.All(5).Topics.Add("events", new TopicPermission("^{username}$", "")),
        });
        Assert.Null(dotted.CheckPublish("events", Events, "a.n"));
        Assert.NotNull(dotted.CheckPublish("events", Events, "ann"));
    }

    [Fact]
    public void User_id_of_a_message_is_the_users_own()
    {
        var access = Access();
        Assert.Null(access.CheckUserId(null));
        Assert.Null(access.CheckUserId("ann"));
        Assert.Equal("user_id property set to 'bob' but authenticated user was 'ann'", access.CheckUserId("bob")!.Text);
        Assert.Null(new UserAccess(Ann with { Tags = ["impersonator"] }, "/", null).CheckUserId("bob"));
    }

    [Fact]
    public void Documents_are_read_as_they_were_written()
    {
        var settings = new VirtualHostSettings
        {
            Name = "/",
            DefaultQueueType = QueueType.Quorum,
            Permissions = new VirtualHostSettings { Name = "" }.Permissions.Add("ann", UserPermissions.All(5) with
            {
                Topics = UserPermissions.All(5).Topics.Add("events", new TopicPermission("a", "b")),
            }),
            Policies = PolicySet.Empty with
            {
                Policies = PolicySet.Empty.Policies.Add("p", new Policy { Name = "p", Pattern = SafePattern.Parse("^a"), ApplyTo =
                    PolicyTarget.QuorumQueues, Definition = FieldTable.Of(("max-length", new IntegerValue(5))) }),
            },
        };
        var json = JsonSerializer.Serialize(settings, VirtualHostJson.Default.VirtualHostSettings);
        Assert.Contains("\"applyTo\":\"quorum_queues\"", json, StringComparison.Ordinal);
        Assert.Equal(json, JsonSerializer.Serialize(JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostSettings)!,
            VirtualHostJson.Default.VirtualHostSettings));
        var user = JsonSerializer.Deserialize(JsonSerializer.Serialize(Ann, VirtualHostJson.Default.UserState),
            VirtualHostJson.Default.UserState)!;
        Assert.True(UserState.MayLogIn(user, "secret", isLoopback: false));
        Assert.Throws<JsonException>(() => JsonSerializer.Deserialize("\"(\"", typeof(SafePattern)));
    }

    [Fact]
    public void Names_are_checked_as_the_decision_sees_them()
    {
        var access = Access("^(?!secret$).*", "^(?!secret$).*", "^(?!secret$).*");
        Assert.Null(access.CheckDeclareQueue("other\n"));
        Refused("configure access to queue 'secret' in vhost '/' refused for user 'ann'", access.CheckDeclareQueue("secre\nt"));
        Refused("configure access to exchange 'secret' in vhost '/' refused for user 'ann'", access.CheckDeleteExchange("secret\r\n"));
        Refused("write access to queue 'secret' in vhost '/' refused for user 'ann'",
            access.CheckBinding(new BindingRequest("x", DestinationKind.Queue, "s\necret"), null));
        Refused("configure access to exchange 'amq.default' in vhost '/' refused for user 'ann'",
            Access("^c").CheckDeclareExchange("\n"));
    }

    [Theory]
    // As it is, and where the end of a pattern is the end of the key.
    [InlineData("^mine\\.x$", "mine.x", true)]
    [InlineData("^mine\\.x$", "mine.x\n", false)]
    [InlineData("^mine\\.x\\Z", "mine.x\n", false)]
    [InlineData("^mine\\.x$", "mine.x\r\n", false)]
    [InlineData("^mine\\.x$", "mine.x\n\n", false)]
    [InlineData("^[^\\n]*$", "mine\n", false)]
    [InlineData("^(a+)\\1$", "aa\n", false)]
    [InlineData("(?m)^mine$", "other\nmine", false)]
    // What a pattern denies is found behind a line end.
    [InlineData("^(?!.*secret)", "open", true)]
    [InlineData("^(?!.*secret)", "a\n.secret", false)]
    [InlineData("^(?!.*secret).*", "a\r\n.secret", false)]
    [InlineData("^(?!.*secret$).*", "a\n.secret", false)]
    // Other keys with line ends are allowed.
    [InlineData(".*", "a\nb\n", true)]
    [InlineData("^mine\\.", "mine.a\nb\n", true)]
    [InlineData("^(?!.*secret)", "a\nb", true)]
    public void Line_ends_in_a_key_lead_around_no_permission(string pattern, string key, bool isAllowed)
    {
        var access = Access(write: ".*", read: ".*", topics: new TopicPermission(pattern, pattern));
        Assert.Equal(isAllowed, access.CheckPublish("events", Events, key) is null);
        Assert.Equal(isAllowed, access.CheckBinding(new BindingRequest("events", DestinationKind.Queue, "q", key), Events) is null);
        // Names of publishes keep their line ends, too.
        Assert.Equal(isAllowed, Access(write: pattern).CheckPublish(key, null) is null);
    }

    [Fact]
    public void Users_name_that_looks_like_a_variable_stays_a_name()
    {
        var user = Ann with { Name = "{vhost}" };
        var access = new UserAccess(user, "d", new UserPermissions
        {
            UserId = user.Id,
            Write = SafePattern.Parse(".*"),
            Topics = UserPermissions.All(5).Topics.Add("events", new TopicPermission("^{username}$", "^{vhost}$")),
        });
        Assert.Null(access.CheckPublish("events", Events, "{vhost}"));
        Assert.NotNull(access.CheckPublish("events", Events, "7"));
        Assert.NotNull(access.CheckPublish("events", Events, "d"));
    }
}
