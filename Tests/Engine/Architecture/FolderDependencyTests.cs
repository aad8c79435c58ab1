using System.Text.RegularExpressions;
using OrleansMq.Brokers;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Architecture;

/// <summary>
/// The engine's folders depend on each other as the table says, and without a cycle. A new dependency is declared here, where a reviewer
/// sees it; one that is gone is removed.
/// </summary>
public sealed partial class FolderDependencyTests
{
    // A folder may use those that stand above it in this table, and of those the ones that it names.
    private static readonly (string Folder, string[] Uses)[] Allowed =
    [
        ("Diagnostics", []),
        ("Partitioning", []),
        ("Timing", []),
        ("Records", []),
        ("Storage", []),
        ("Filters", ["Records"]),
        ("Schedules", ["Diagnostics"]),
        ("State", ["Diagnostics", "Records", "Storage"]),
        ("Api", ["Records"]),
        ("Coordination", ["Api", "Diagnostics", "State", "Timing"]),
        ("VirtualHosts", ["Api", "Coordination", "Diagnostics", "State"]),
        ("Topics", ["Api", "Diagnostics", "Records"]),
        ("Producers", ["Diagnostics", "Records"]),
        ("Queues", ["Diagnostics", "Records"]),
        ("Dedupe", ["Queues", "Records"]),
        ("Log", ["Dedupe", "Diagnostics", "Producers", "Queues", "Records", "Storage", "Topics"]),
        ("Compaction", ["Dedupe", "Diagnostics", "Log", "Producers", "Queues", "Records", "Topics"]),
        ("Partitions", ["Api", "Compaction", "Dedupe", "Diagnostics", "Filters", "Log", "Partitioning", "Producers", "Queues", "Records",
            "Schedules", "Storage", "Timing", "Topics"]),
        ("Transactions", ["Api", "Coordination", "Diagnostics", "Partitions", "Producers", "State"]),
        ("Replication", ["Api", "Compaction", "Diagnostics", "Log", "Partitions", "Records", "State", "Topics"]),
        ("Clusters", ["Api", "Records", "Replication", "Topics"]),
        ("Groups", ["Api", "Clusters", "Coordination", "Diagnostics", "Records", "State", "Topics"]),
        ("Shares", ["Api", "Groups", "Log", "Partitions", "Queues", "Records"]),
        ("Quotas", ["Diagnostics", "State"]),
        ("Access", ["Api", "Diagnostics", "Groups", "Log", "Partitions", "Producers", "Quotas", "Records", "Shares", "Topics"]),
        ("Security", ["Access", "Diagnostics", "State"]),
        ("Brokers", ["Access", "Api", "Clusters", "Diagnostics", "Groups", "Partitions", "Producers", "Queues", "Quotas", "Records",
            "Schedules", "Security", "State", "Storage", "Topics", "Transactions", "VirtualHosts"]),
        ("Hosting", ["Access", "Api", "Brokers", "Clusters", "Partitions", "Security", "VirtualHosts"]),
    ];

    private static readonly string Engine = Path.Combine(ReadmeSection.RepositoryRoot(), "Grains", "OrleansMq.Engine");

    [Fact]
    public void Table_has_every_folder_of_the_engine() =>
        Assert.Equal(Folders().Order(), Allowed.Select(row => row.Folder).Order());

    [Fact]
    public void Table_has_no_cycle()
    {
        for (var row = 0; row < Allowed.Length; row++)
        {
            foreach (var used in Allowed[row].Uses)
                Assert.True(Array.FindIndex(Allowed, other => other.Folder == used) is >= 0 and var above && above < row,
                    $"{Allowed[row].Folder} may not use {used}: only folders above it in the table.");
        }
    }

    [Fact]
    public void Namespace_follows_folder()
    {
        foreach (var (folder, file, source) in Sources())
        {
            var declared = NamespaceLine().Match(source).Groups[1].Value;
            Assert.True(declared == folder, $"{file} declares the namespace OrleansMq.{declared}, not OrleansMq.{folder}.");
        }
    }

    [Fact]
    public void Folder_uses_exactly_what_the_table_declares()
    {
        var types = typeof(BrokerOptions).Assembly.GetTypes()
            .Where(type => type.Namespace?.StartsWith("OrleansMq.", StringComparison.Ordinal) == true)
            .Select(type => (Folder: type.Namespace!.Split('.')[1], Name: type.Name.Split('`')[0])).ToHashSet();
        var found = Folders().ToDictionary(folder => folder, _ => new SortedDictionary<string, string>(StringComparer.Ordinal));
        foreach (var (folder, file, source) in Sources())
        {
            foreach (Match use in QualifiedName().Matches(CommentOrText().Replace(source, "")))
            {
                var (used, member) = (use.Groups["folder"].Value, use.Groups["name"].Value);
                var isNamespace = use.Groups["root"].Success && found.ContainsKey(used);
                if (used != folder && (isNamespace || types.Contains((used, member))))
                    found[folder].TryAdd(used, file);
            }
        }
        foreach (var (folder, uses) in Allowed)
        {
            foreach (var (used, file) in found[folder])
                Assert.True(uses.Contains(used), $"{folder} uses {used}, in {file}: declare it in the table, or break the dependency.");
            foreach (var used in uses)
                Assert.True(found[folder].ContainsKey(used), $"{folder} no longer uses {used}: remove it from the table.");
        }
    }

    private static IEnumerable<string> Folders() => Directory.GetDirectories(Engine).Select(Path.GetFileName)
        .Where(name => name is not ("bin" or "obj"))!;

    private static IEnumerable<(string Folder, string File, string Source)> Sources() =>
        from folder in Folders()
        from file in Directory.GetFiles(Path.Combine(Engine, folder), "*.cs", SearchOption.AllDirectories)
        select (folder, Path.GetRelativePath(Engine, file), File.ReadAllText(file));

    [GeneratedRegex(@"^namespace OrleansMq\.(\w+)(\.\w+)*;", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();

    // "using OrleansMq.Log;", "OrleansMq.Log.Segment", or relative to the engine's root: "Log.Segment".
    [GeneratedRegex(@"(?<![\w.])(?<root>OrleansMq\.)?(?<folder>[A-Z]\w*)(\.(?<name>[A-Z]\w*))?")]
    private static partial Regex QualifiedName();

    [GeneratedRegex(@"//[^\n]*|""([^""\\\n]|\\.)*""")]
    private static partial Regex CommentOrText();
}
