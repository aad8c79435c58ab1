using System.IO.Compression;
using System.Xml.Linq;

namespace OrleansMq.Tests.Packages;

/// <summary>What every package promises in the gallery.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class PackageTests(PackageFeed feed)
{
    private static readonly string[] WithoutSymbols = ["OrleansMq.Server", "OrleansMq.Templates"];

    [Fact]
    public void Package_has_a_description_tags_a_licence_and_a_readme() =>
        Assert.All(Packages(), static package =>
        {
            using var archive = ZipFile.OpenRead(package);
            var metadata = Metadata(archive);
            Assert.All(["description", "tags", "license", "readme", "authors"], name => Assert.NotEmpty(Value(metadata, name)));
            Assert.NotEqual("Package Description", Value(metadata, "description"));
            Assert.NotNull(archive.GetEntry(Value(metadata, "readme")));
        });

    [Fact]
    public void Package_with_code_has_a_symbol_package() =>
        Assert.Equal(
            Packages().Select(Path.GetFileNameWithoutExtension).Except(WithoutSymbols.Select(name => $"{name}.{feed.Version}")).Order(),
            Directory.GetFiles(feed.Folder, "*.snupkg").Select(Path.GetFileNameWithoutExtension).Order());

    [Fact]
    public void Packages_depend_on_no_package_of_this_repository_that_is_not_packed()
    {
        var packed = Packages().Select(package => Path.GetFileNameWithoutExtension(package)[..^(feed.Version.Length + 1)]).ToHashSet();
        var named = Packages().SelectMany(static package =>
        {
            using var archive = ZipFile.OpenRead(package);
            return Metadata(archive).Descendants().Where(static element => element.Name.LocalName == "dependency")
                .Select(static element => element.Attribute("id")!.Value).ToList();
        }).Where(static id => id.StartsWith("OrleansMq.", StringComparison.Ordinal)).Distinct().ToList();
        Assert.NotEmpty(named);
        Assert.Empty(named.Except(packed));
    }

    [Fact]
    public void Readme_of_the_packages_names_packages_that_exist()
    {
        var readme = File.ReadAllText(Path.Combine(Process.Running.Repository.Root, "deploy/packages/README.md"));
        var named = System.Text.RegularExpressions.Regex.Matches(readme, @"^\| `(OrleansMq\.[\w.]+)`",
            System.Text.RegularExpressions.RegexOptions.Multiline).Select(static match => match.Groups[1].Value).ToList();
        Assert.NotEmpty(named);
#if ORLEANS
        Assert.All(named, name => Assert.True(File.Exists(Path.Combine(feed.Folder, $"{name}.{feed.Version}.nupkg")), name));
#endif
    }

    private string[] Packages() => Directory.GetFiles(feed.Folder, "*.nupkg");

    private static XElement Metadata(ZipArchive archive)
    {
        using var stream = archive.Entries.Single(static entry => entry.FullName.EndsWith(".nuspec", StringComparison.Ordinal)).Open();
        return XDocument.Load(stream).Root!.Elements().Single(static element => element.Name.LocalName == "metadata");
    }

    private static string Value(XElement metadata, string name) =>
        metadata.Elements().SingleOrDefault(element => element.Name.LocalName == name)?.Value ?? "";
}
