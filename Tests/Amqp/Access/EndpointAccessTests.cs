using System.Globalization;
using System.Text.RegularExpressions;
using OrleansMq.Tests.Shared;
using static OrleansMq.Tests.Amqp.Access.AccessRights;

namespace OrleansMq.Tests.Amqp.Access;

/// <summary>What each endpoint of the management API needs: a tag, the virtual host, and permissions in it.</summary>
public sealed partial class EndpointAccessTests(AccessServer server) : IClassFixture<AccessServer>
{
    private const string NoPassword = """{"password_hash":"","tags":""}""";
    private const string AllNames = """{"configure":".*","write":".*","read":".*"}""";
    private const string AllKeys = """{"exchange":"x","write":".*","read":".*"}""";
    private const string SomePolicy = """{"pattern":"^none$","definition":{"max-length":9}}""";
    private const string Message = """{"routing_key":"k","payload":"m","payload_encoding":"string","properties":{}}""";

    private static readonly string[] Policymakers = ["policymaker", "administrator"];
    private static readonly string[] Monitors = ["monitoring", "administrator"];
    private static readonly string[] PolicyReaders = ["policymaker", "monitoring", "administrator"];
    private static readonly string[] Administrators = ["administrator"];

    private static readonly Endpoint[] Endpoints =
    [
        new("GET whoami", Tags),
        new("GET overview", Tags),
        new("GET feature-flags", Tags),
        new("GET nodes", Monitors),
        new("GET health/checks/alarms", Monitors),
        new("GET health/checks/local-alarms", Monitors),
        new("GET health/checks/virtual-hosts", Monitors),
        new("GET health/checks/node-is-quorum-critical", Monitors),
        new("GET health/checks/node-is-mirror-sync-critical", Monitors),
        new("GET health/checks/port-listener/{port}", Monitors),
        new("GET aliveness-test/%2F", Tags, Reach.Entered, ConfigureQueue, ReadQueue, WriteExchange),

        // Users see their own connections; these are guest's.
        new("GET connections", Tags, Reach.Filtered),
        new("GET connections/username/guest", Tags, Reach.Filtered),
        new("GET connections/{connection}", Monitors),
        new("GET connections/{connection}/channels", Monitors),
        new("GET vhosts/%2F/connections", Tags, Reach.Seen),
        new("GET channels", Tags, Reach.Filtered),
        new("GET channels/{channel}", Monitors),
        new("GET vhosts/%2F/channels", Tags, Reach.Seen),
        new("GET consumers", Tags, Reach.Filtered),
        new("GET consumers/%2F", Tags, Reach.Seen),
        new("DELETE connections/{connection}", Administrators),
        new("DELETE connections/username/nobody", Administrators),

        new("GET vhosts", Tags, Reach.Filtered),
        new("GET vhosts/%2F", Tags, Reach.Seen),
        new("PUT vhosts/new", Administrators) { Body = "{}" },
        new("DELETE vhosts/old", Administrators) { Before = [("vhosts/old", "{}")] },
        new("GET vhost-limits", Monitors),
        new("GET vhost-limits/%2F", Monitors, Reach.Seen),
        new("PUT vhost-limits/%2F/max-queues", Administrators, Reach.Seen) { Body = """{"value":1000}""" },
        new("DELETE vhost-limits/%2F/max-queues", Administrators, Reach.Seen),
        new("PUT vhost-limits/%2F/max-connections", Administrators, Reach.Seen) { Body = """{"value":1000}""" },
        new("DELETE vhost-limits/%2F/max-connections", Administrators, Reach.Seen),

        new("GET users", Administrators),
        new("GET users/guest", Administrators),
        new("PUT users/new", Administrators) { Body = NoPassword },
        new("DELETE users/old", Administrators) { Before = [("users/old", NoPassword)] },
        new("GET users/guest/permissions", Administrators),
        new("GET users/guest/topic-permissions", Administrators),
        new("GET permissions", Administrators),
        new("GET permissions/%2F/guest", Administrators, Reach.Seen),
        new("GET vhosts/%2F/permissions", Administrators, Reach.Seen),
        new("PUT permissions/%2F/u", Administrators, Reach.Seen) { Body = AllNames, Before = [("users/u", NoPassword)] },
        new("DELETE permissions/%2F/u", Administrators, Reach.Seen)
        {
            Before = [("users/u", NoPassword), ("permissions/%2F/u", AllNames)],
        },
        new("GET topic-permissions", Administrators),
        new("GET topic-permissions/%2F/guest", Administrators, Reach.Seen),
        new("GET vhosts/%2F/topic-permissions", Administrators, Reach.Seen),
        new("PUT topic-permissions/%2F/u", Administrators, Reach.Seen)
        {
            Body = AllKeys,
            Before = [("users/u", NoPassword), ("permissions/%2F/u", AllNames)],
        },
        new("DELETE topic-permissions/%2F/u", Administrators, Reach.Seen)
        {
            Before = [("users/u", NoPassword), ("permissions/%2F/u", AllNames), ("topic-permissions/%2F/u", AllKeys)],
        },
        new("DELETE topic-permissions/%2F/u/x", Administrators, Reach.Seen)
        {
            Before = [("users/u", NoPassword), ("permissions/%2F/u", AllNames), ("topic-permissions/%2F/u", AllKeys)],
        },
        new("GET definitions", Administrators),
        new("GET definitions/%2F", Administrators, Reach.Seen),
        new("POST definitions", Administrators) { Body = "{}" },
        new("POST definitions/%2F", Administrators, Reach.Seen) { Body = "{}" },
        new("POST definitions?left_out=true", Administrators) { Body = "{}" },
        new("POST definitions/%2F?left_out=true", Administrators, Reach.Seen) { Body = "{}" },

        new("GET policies", PolicyReaders, Reach.Filtered) { Before = [("policies/%2F/p", SomePolicy)] },
        new("GET policies/%2F", PolicyReaders, Reach.Seen),
        new("GET policies/%2F/p", PolicyReaders, Reach.Seen) { Before = [("policies/%2F/p", SomePolicy)] },
        new("PUT policies/%2F/p", Policymakers, Reach.Entered) { Body = SomePolicy },
        new("DELETE policies/%2F/p", Policymakers, Reach.Entered) { Before = [("policies/%2F/p", SomePolicy)] },
        new("GET operator-policies", PolicyReaders, Reach.Filtered) { Before = [("operator-policies/%2F/p", SomePolicy)] },
        new("GET operator-policies/%2F", PolicyReaders, Reach.Seen),
        new("GET operator-policies/%2F/p", PolicyReaders, Reach.Seen) { Before = [("operator-policies/%2F/p", SomePolicy)] },
        new("PUT operator-policies/%2F/p", Administrators, Reach.Entered) { Body = SomePolicy },
        new("DELETE operator-policies/%2F/p", Administrators, Reach.Entered) { Before = [("operator-policies/%2F/p", SomePolicy)] },

        new("GET exchanges", Tags, Reach.Filtered),
        new("GET exchanges/%2F", Tags, Reach.Seen),
        new("GET exchanges/%2F/x", Tags, Reach.Seen),
        new("PUT exchanges/%2F/x.new", Tags, Reach.Entered, ConfigureExchange) { Body = """{"durable":false}""" },
        new("PUT exchanges/%2F/x.alternate", Tags, Reach.Entered, ConfigureExchange, WriteExchange, ReadExchange)
        {
            Body = """{"durable":false,"arguments":{"alternate-exchange":"x"}}""",
        },
        new("DELETE exchanges/%2F/x.old", Tags, Reach.Entered, ConfigureExchange),
        new("POST exchanges/%2F/x/publish", Tags, Reach.Entered, WriteExchange, WriteTopic) { Body = Message },
        new("POST exchanges/%2F/amq.default/publish", Tags, Reach.Entered, WriteExchange) { Body = Message },

        new("GET queues", Tags, Reach.Filtered),
        new("GET queues/%2F", Tags, Reach.Seen),
        new("GET queues/%2F/q", Tags, Reach.Seen),
        new("PUT queues/%2F/q.new", Tags, Reach.Entered, ConfigureQueue) { Body = """{"durable":false}""" },
        new("PUT queues/%2F/q.dead", Tags, Reach.Entered, ConfigureQueue, ReadQueue, WriteExchange)
        {
            Body = """{"durable":false,"arguments":{"x-dead-letter-exchange":"x"}}""",
        },
        new("DELETE queues/%2F/q.old", Tags, Reach.Entered, ConfigureQueue),
        new("DELETE queues/%2F/q/contents", Tags, Reach.Entered, ReadQueue),
        new("POST queues/%2F/q/get", Tags, Reach.Entered, ReadQueue) { Body = "{}" },

        new("GET bindings", Tags, Reach.Filtered),
        new("GET bindings/%2F", Tags, Reach.Seen),
        new("GET queues/%2F/q/bindings", Tags, Reach.Seen),
        new("GET exchanges/%2F/x/bindings/source", Tags, Reach.Seen),
        new("GET exchanges/%2F/x2/bindings/destination", Tags, Reach.Seen),
        new("GET bindings/%2F/e/x/q/q", Tags, Reach.Seen),
        new("GET bindings/%2F/e/x/q/q/k", Tags, Reach.Seen),
        new("GET bindings/%2F/e/x/e/x2", Tags, Reach.Seen),
        new("GET bindings/%2F/e/x/e/x2/k", Tags, Reach.Seen),
        new("POST bindings/%2F/e/x/q/q", Tags, Reach.Entered, WriteQueue, ReadExchange, ReadTopic) { Body = """{"routing_key":"k2"}""" },
        new("POST bindings/%2F/e/x/e/x2", Tags, Reach.Entered, WriteExchange, ReadExchange, ReadTopic)
        {
            Body = """{"routing_key":"k2"}""",
        },
        new("DELETE bindings/%2F/e/x/q/q/k", Tags, Reach.Entered, WriteQueue, ReadExchange, ReadTopic),
        new("DELETE bindings/%2F/e/x/e/x2/k", Tags, Reach.Entered, WriteExchange, ReadExchange, ReadTopic),
    ];

    /// <summary>Which virtual hosts a user reaches.</summary>
    private enum Reach
    {
        /// <summary>The endpoint is of none.</summary>
        None,
        /// <summary>It lists what is in those that the user sees.</summary>
        Filtered,
        /// <summary>Those in which the user has permissions; all for monitoring and administrator.</summary>
        Seen,
        /// <summary>Those in which the user has permissions.</summary>
        Entered,
    }

    public static TheoryData<string> Names => [.. Endpoints.Select(static endpoint => endpoint.Name)];

    public static TheoryData<string> OfAllTags =>
        [.. Endpoints.Where(static endpoint => endpoint.Tags.Contains("management")).Select(static endpoint => endpoint.Name)];

    // The API decides by list patterns: each has an endpoint of the table, in each of its alternatives.
    [Fact]
    public void Every_endpoint_is_in_the_table()
    {
        var patterns = PatternsOfTheCode().ToArray();
        Assert.NotEmpty(patterns);
        Assert.Empty(patterns.Where(static pattern => !Endpoints.Any(pattern.Matches)).Select(static pattern => pattern.ToString()));
        Assert.Empty(Endpoints.Where(endpoint => !patterns.Any(pattern => pattern.Matches(endpoint)))
            .Select(static endpoint => endpoint.Name));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Each_tag_opens_its_own_endpoints_alone(string name)
    {
        var endpoint = Endpoints.Single(endpoint => endpoint.Name == name);
        Assert.False(await OpensAsync(endpoint, Untagged));
        var opened = new List<string>();
        foreach (var tag in Tags)
        {
            if (await OpensAsync(endpoint, Entitled(tag)))
                opened.Add(tag);
        }
        Assert.Equal(endpoint.Tags, opened);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task User_without_permissions_in_the_virtual_host_reaches_what_its_tag_sees(string name)
    {
        var endpoint = Endpoints.Single(endpoint => endpoint.Name == name);
        foreach (var tag in endpoint.Tags)
        {
            var seesAll = Monitors.Contains(tag);
            Assert.Equal(endpoint.Reaches switch { Reach.Entered => false, Reach.Seen => seesAll, _ => true },
                await OpensAsync(endpoint, Stranger(tag)));
            if (endpoint.Reaches == Reach.Filtered)
                Assert.Equal(seesAll, (await AskAsync(endpoint, Stranger(tag))).Text != "[]");
        }
    }

    [Theory]
    [MemberData(nameof(OfAllTags))]
    public async Task Each_permission_opens_its_own_endpoints_alone(string name)
    {
        var endpoint = Endpoints.Single(endpoint => endpoint.Name == name);
        Assert.Equal(endpoint.Needs.Length == 0, await OpensAsync(endpoint, NoRight));
        var (opened, closed) = (new List<string>(), new List<string>());
        foreach (var right in All)
        {
            if (await OpensAsync(endpoint, Only(right)))
                opened.Add(right);
            var (status, text) = await AskAsync(endpoint, AllBut(right));
            if (status != 401)
                continue;
            Assert.Contains(RefusalOf(right), text, StringComparison.Ordinal);
            closed.Add(right);
        }
        Assert.Equal(endpoint.Needs, closed);
        Assert.Equal(endpoint.Needs.Length switch { 0 => All, 1 => endpoint.Needs, _ => [] }, opened);
    }

    // What it does not refuse, it does.
    private async Task<bool> OpensAsync(Endpoint endpoint, string user)
    {
        var (status, text) = await AskAsync(endpoint, user);
        if (status == 401 || (status == 404 && endpoint.IsHidden))
            return false;
        Assert.True(status is >= 200 and < 300, $"{endpoint.Name} by {user}: {status} {text}");
        return true;
    }

    private async Task<(int Status, string Text)> AskAsync(Endpoint endpoint, string user)
    {
        await server.PrepareAsync();
        foreach (var (before, body) in endpoint.Before)
        {
            using var prepared = await server.Server.SendAsync("PUT", before, body);
            Assert.True(prepared.IsSuccessStatusCode, $"{before}: {await prepared.Content.ReadAsStringAsync()}");
        }
        await using var connection = endpoint.IsOfConnections ? await server.ConnectAsync() : null;
        var path = endpoint.Path.Replace("{port}", server.Server.AmqpPort.ToString(CultureInfo.InvariantCulture))
            .Replace("{connection}", Uri.EscapeDataString(connection?.Name ?? ""))
            .Replace("{channel}", Uri.EscapeDataString(connection?.Channel ?? ""));
        using var response = await server.Server.SendAsync(endpoint.Method, path, endpoint.Body, $"{user}:{Password}");
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    private static IEnumerable<Pattern> PatternsOfTheCode()
    {
        var member = "";
        foreach (var file in Directory.GetFiles(Path.Combine(ReadmeSection.RepositoryRoot(), "Silo", "OrleansMq.Gateways.Amqp",
            "Management"), "ManagementApi*.cs"))
        {
            foreach (var line in File.ReadLines(file))
            {
                if (MemberOfCode().Match(line) is { Success: true } begun)
                    member = begun.Groups[1].Value;
                if (!BeginOfPatterns().IsMatch(line))
                    continue;
                foreach (var pattern in from verb in VerbsOf(member, line)
                                        from Match match in ListPattern().Matches(line)
                                        from parts in AlternativesOf(match.Groups[1].Value)
                                        select new Pattern(verb, member == "Check" ? ["health", "checks", .. parts] : parts))
                    yield return pattern;
            }
        }
    }

    private static string[] VerbsOf(string member, string line) => member switch
    {
        "ReadAsync" or "ReadConnectionsAsync" or "ReadUsersAsync" or "ReadPoliciesAsync" or "ReadBindingsAsync" or "Check" => ["GET"],
        "AnswerPostAsync" or "PostAsync" => ["POST"],
        "ChangeAsync" when line.Contains("when !isPut", StringComparison.Ordinal) => ["DELETE"],
        "ChangeAsync" => ["PUT", "DELETE"],
        _ => throw new InvalidOperationException($"{member} of the management API decides by paths: add here of which methods."),
    };

    // What is written "a" or "b" in one of its parts is several paths.
    private static IEnumerable<string[]> AlternativesOf(string pattern) =>
        pattern.Split(',').Select(static part => part.Trim()).Aggregate<string, IEnumerable<string[]>>([[]], static (paths, part) =>
            from path in paths
            from text in part.Split(" or ")
            select (string[])[.. path, text[0] == '"' ? text.Trim('"') : text.StartsWith("..", StringComparison.Ordinal)
                ? Pattern.Rest : Pattern.One]);

    [GeneratedRegex(@"^    (?:private|internal|public) .*?(\w+)\(")]
    private static partial Regex MemberOfCode();

    [GeneratedRegex("""^\s+(?:case \[|or \[|\[")""")]
    private static partial Regex BeginOfPatterns();

    [GeneratedRegex("""\[("[^\]]*)\]""")]
    private static partial Regex ListPattern();

    /// <summary>The paths of a method that the API takes.</summary>
    /// <param name="Verb">The method.</param>
    /// <param name="Parts">The parts of the paths; the last may be <see cref="Rest"/>.</param>
    private sealed record Pattern(string Verb, string[] Parts)
    {
        /// <summary>Any one part.</summary>
        public const string One = "*";

        /// <summary>Any further parts.</summary>
        public const string Rest = "**";

        public bool Matches(Endpoint endpoint)
        {
            var path = endpoint.Path.Split('?')[0].Split('/');
            var isOpen = Parts[^1] == Rest;
            var count = isOpen ? Parts.Length - 1 : Parts.Length;
            return endpoint.Method == Verb && (isOpen ? path.Length >= count : path.Length == count)
                && Parts.Take(count).Zip(path).All(static pair => pair.First == One || pair.First == pair.Second);
        }

        public override string ToString() => $"{Verb} {string.Join('/', Parts)}";
    }

    /// <summary>An endpoint, or a case of it that needs other permissions.</summary>
    private sealed class Endpoint(string name, string[] tags, Reach reach = Reach.None, params string[] needs)
    {
        /// <summary>Its method and path.</summary>
        public string Name => name;

        public string Method => name.Split(' ')[0];

        public string Path => name.Split(' ')[1];

        /// <summary>The tags that open it.</summary>
        public string[] Tags => tags;

        public Reach Reaches => reach;

        /// <summary>The permissions that it needs, in the order of <see cref="All"/>.</summary>
        public string[] Needs => needs;

        /// <summary>The body; null for none.</summary>
        public string? Body { get; init; }

        /// <summary>What an administrator puts before it.</summary>
        public (string Path, string Body)[] Before { get; init; } = [];

        /// <summary>Whether it tells of connections.</summary>
        public bool IsOfConnections => Path.Split('/')[0] is "connections" or "channels" or "consumers";

        /// <summary>Whether what the user must not see does not exist for it.</summary>
        public bool IsHidden => Path.StartsWith("channels/", StringComparison.Ordinal);
    }
}
