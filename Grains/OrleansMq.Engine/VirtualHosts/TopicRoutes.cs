using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// Routes by patterns of words with dots between them: <c>*</c> is one word, <c>#</c> any number, zero included. The patterns are a trie,
/// and a key is matched against all at once: the cost depends on the key's words and on the nodes that match them, not on the number of
/// patterns. Several <c>#</c> in a row are one.
/// </summary>
internal sealed class TopicRoutes : ExchangeRoutes
{
    private readonly TopicNode _root;

    private TopicRoutes(TopicNode root) => _root = root;

    /// <summary>No bindings.</summary>
    public static TopicRoutes Empty { get; } = new(TopicNode.Empty);

    /// <inheritdoc/>
    public override ExchangeRoutes Add(BindingState binding, RouteTarget target) =>
        new TopicRoutes(_root.Change(PatternOf(binding.RoutingKey), targets => targets.Add(target)));

    /// <inheritdoc/>
    public override ExchangeRoutes Remove(BindingState binding, RouteTarget target) =>
        new TopicRoutes(_root.Change(PatternOf(binding.RoutingKey), targets => targets.Remove(target)));

    /// <inheritdoc/>
    public override void Collect(in RoutedMessage message, RouteCollector collector)
    {
        Collect(message.RoutingKey, collector);
        foreach (var key in message.MoreKeys ?? [])
            Collect(key, collector);
    }

    // A '#' behind a '#' matches nothing more, and would be one more node for each word of a key.
    private static string[] PatternOf(string pattern)
    {
        var words = WordsOf(pattern);
        return [.. words.Where((word, place) => word != TopicNode.Hash || place == 0 || words[place - 1] != TopicNode.Hash)];
    }

    // An empty key has no words, not an empty one.
    private static string[] WordsOf(string key) => key.Length == 0 ? [] : key.Split('.');

    private void Collect(string key, RouteCollector collector)
    {
        var (current, next, open) = (collector.Current, collector.Next, collector.Open);
        current.Clear();
        open.Clear();
        collector.IsOpen.Clear();
        Enter(_root, current, collector);
        foreach (var word in WordsOf(key))
        {
            next.Clear();
            if (!collector.TrySpend(current.Count + open.Count))
                return;
            // A node that is entered now takes part from the next word on.
            var count = open.Count;
            foreach (var node in current)
                Step(node, word, next, collector);
            for (var node = 0; node < count; node++)
                Step(open[node], word, next, collector);
            (current, next) = (next, current);
        }
        foreach (var node in current)
            collector.Add(node.Targets);
        foreach (var node in open)
            collector.Add(node.Targets);
    }

    private static void Step(TopicNode node, string word, List<TopicNode> next, RouteCollector collector)
    {
        if (node.Words.TryGetValue(word, out var named))
            Enter(named, next, collector);
        if (node.AnyWord is { } any)
            Enter(any, next, collector);
    }

    // Behind a '#' every further word leads back to the same node: it stays open to the end, and is entered once.
    private static void Enter(TopicNode node, List<TopicNode> nodes, RouteCollector collector)
    {
        nodes.Add(node);
        for (var behind = node.AnyWords; behind is not null && collector.IsOpen.Add(behind); behind = behind.AnyWords)
            collector.Open.Add(behind);
    }
}

/// <summary>A node of the trie of patterns: the patterns that begin with the words on the way to it. Immutable.</summary>
internal sealed class TopicNode
{
    /// <summary>One word.</summary>
    public const string Star = "*";

    /// <summary>Any number of words.</summary>
    public const string Hash = "#";

    private TopicNode(ImmutableDictionary<string, TopicNode> words, TopicNode? anyWord, TopicNode? anyWords, TargetSet targets) =>
        (Words, AnyWord, AnyWords, Targets) = (words, anyWord, anyWords, targets);

    /// <summary>A node without patterns.</summary>
    public static TopicNode Empty { get; } =
        new(ImmutableDictionary.Create<string, TopicNode>(StringComparer.Ordinal), null, null, TargetSet.Empty);

    /// <summary>What follows certain words.</summary>
    public ImmutableDictionary<string, TopicNode> Words { get; }

    /// <summary>What follows a <c>*</c>; null for nothing.</summary>
    public TopicNode? AnyWord { get; }

    /// <summary>What follows a <c>#</c>; null for nothing.</summary>
    public TopicNode? AnyWords { get; }

    /// <summary>The targets of the pattern that ends here.</summary>
    public TargetSet Targets { get; }

    /// <summary>Returns the node with other targets for a pattern.</summary>
    public TopicNode Change(ReadOnlySpan<string> pattern, Func<TargetSet, TargetSet> change)
    {
        if (pattern.IsEmpty)
            return new TopicNode(Words, AnyWord, AnyWords, change(Targets));
        var rest = pattern[1..];
        return pattern[0] switch
        {
            Star => new TopicNode(Words, Kept((AnyWord ?? Empty).Change(rest, change)), AnyWords, Targets),
            Hash => new TopicNode(Words, AnyWord, Kept((AnyWords ?? Empty).Change(rest, change)), Targets),
            var word => new TopicNode(Kept(Words.GetValueOrDefault(word, Empty).Change(rest, change)) is { } node
                ? Words.SetItem(word, node) : Words.Remove(word), AnyWord, AnyWords, Targets),
        };
    }

    private static TopicNode? Kept(TopicNode node) =>
        node.Words.IsEmpty && node.AnyWord is null && node.AnyWords is null && node.Targets.IsEmpty ? null : node;
}
