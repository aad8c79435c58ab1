using System.Collections.Immutable;
using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>
/// All rules at one time, indexed for decisions. A decision looks at the rules of the resource's own name, of every resource, and of each
/// length of prefix that some rule has. Immutable.
/// </summary>
internal sealed class AclImage
{
    private readonly Dictionary<ResourceType, TypeIndex> _types = [];

    /// <param name="rules">The rules; equal ones count once.</param>
    public AclImage(IEnumerable<AclRule> rules)
    {
        Rules = [.. rules.Distinct()];
        foreach (var ofType in Rules.GroupBy(static rule => rule.ResourceType))
            _types[ofType.Key] = new TypeIndex([.. ofType]);
    }

    /// <summary>No rules.</summary>
    public static AclImage Empty { get; } = new([]);

    /// <summary>The rules, in the order in which they were created.</summary>
    public ImmutableArray<AclRule> Rules { get; }

    /// <summary>Decides by the rules alone: a matching denial first, then a matching grant.</summary>
    public AclDecision Decide(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        if (!_types.TryGetValue(type, out var index))
            return new AclDecision(false, AclReason.NoRules);
        var isAny = false;
        AclRule? allowing = null;
        foreach (var rules in index.About(name))
        {
            isAny = true;
            foreach (var rule in rules)
            {
                if (!rule.IsAbout(principal, host) || !rule.Decides(operation))
                    continue;
                if (rule.Permission == AclPermission.Deny)
                    return new AclDecision(false, AclReason.Denied, rule);
                allowing ??= rule;
            }
        }
        return allowing is not null ? new AclDecision(true, AclReason.Allowed, allowing)
            : new AclDecision(false, isAny ? AclReason.NoMatch : AclReason.NoRules);
    }

    /// <summary>Whether a resource of that type may exist for which the rules allow the operation: some grant is not denied as a
    /// whole.</summary>
    public bool AllowsAny(string principal, string host, AccessOperation operation, ResourceType type)
    {
        if (!_types.TryGetValue(type, out var index))
            return false;
        var mine = index.Rules.Where(rule => rule.IsAbout(principal, host) && rule.Decides(operation)).ToArray();
        var denials = mine.Where(static rule => rule.Permission == AclPermission.Deny).ToArray();
        return mine.Any(grant => grant.Permission == AclPermission.Allow && !denials.Any(denial => DeniesAll(denial, grant)));
    }

    /// <summary>Whether a rule denies the operation on every resource of that type.</summary>
    public bool DeniesEvery(string principal, string host, AccessOperation operation, ResourceType type) =>
        _types.TryGetValue(type, out var index) && index.Rules.Any(rule => rule is { Permission: AclPermission.Deny,
            Pattern: AclPattern.Literal, ResourceName: AclRule.Anything } && rule.IsAbout(principal, host) && rule.Decides(operation));

    // Whether a denial covers all that a grant covers.
    private static bool DeniesAll(AclRule denial, AclRule grant) =>
        denial is { Pattern: AclPattern.Literal, ResourceName: AclRule.Anything }
        || (denial.Pattern == AclPattern.Prefixed && !(grant is { Pattern: AclPattern.Literal, ResourceName: AclRule.Anything })
            && grant.ResourceName.StartsWith(denial.ResourceName, StringComparison.Ordinal))
        || (denial.Pattern == AclPattern.Literal && grant.Pattern == AclPattern.Literal && denial.ResourceName == grant.ResourceName);

    private sealed class TypeIndex
    {
        private readonly Dictionary<string, AclRule[]> _literal;
        private readonly Dictionary<string, AclRule[]>.AlternateLookup<ReadOnlySpan<char>> _prefixed;
        private readonly int[] _prefixLengths;

        public TypeIndex(ImmutableArray<AclRule> rules)
        {
            Rules = rules;
            _literal = ByName(rules.Where(static rule => rule.Pattern == AclPattern.Literal));
            var prefixed = ByName(rules.Where(static rule => rule.Pattern == AclPattern.Prefixed));
            _prefixed = prefixed.GetAlternateLookup<ReadOnlySpan<char>>();
            _prefixLengths = [.. prefixed.Keys.Select(static prefix => prefix.Length).Distinct().Order()];
        }

        public ImmutableArray<AclRule> Rules { get; }

        /// <summary>The rules about a resource.</summary>
        public IEnumerable<AclRule[]> About(string name)
        {
            if (_literal.TryGetValue(name, out var own))
                yield return own;
            if (name != AclRule.Anything && _literal.TryGetValue(AclRule.Anything, out var all))
                yield return all;
            foreach (var length in _prefixLengths)
            {
                if (length > name.Length)
                    yield break;
                if (_prefixed.TryGetValue(name.AsSpan(0, length), out var prefixed))
                    yield return prefixed;
            }
        }

        private static Dictionary<string, AclRule[]> ByName(IEnumerable<AclRule> rules) => rules
            .GroupBy(static rule => rule.ResourceName, StringComparer.Ordinal)
            .ToDictionary(static ofName => ofName.Key, static ofName => ofName.ToArray(), StringComparer.Ordinal);
    }
}
