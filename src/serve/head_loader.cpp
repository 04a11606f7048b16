#include "serve/head_loader.h"

#include <fmt/format.h>

#include <new>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "decode/head_model.h"
#include "decode/token_tilt.h"

namespace coala {
namespace {

/// The name of a head by its file: that of the folder that align made, or the file's own.
std::string head_name(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  const std::string folder = std::filesystem::absolute(path).parent_path().filename().string();
  return stem == "head" && !folder.empty() ? folder : stem;
}

}  // namespace

void HeadLoader::add(const std::filesystem::path& path, ServedModel& model) const {
  const std::string digest = hash_file(path);
  Head head = load_head(path);
  if (hash_file(path) != digest) {
    throw Error(ErrorCode::BadInput, fmt::format("{} was written while it was read", path.string()),
                "put a whole file in its place (mv), and ask again");
  }
  const FeatureSettings settings = settings_for_head(head, path, model.backbone, how_.mode, how_.allow_unbound);
  const std::string name = head_name(path);
  if (model.rewards.contains(name)) {
    throw Error(ErrorCode::BadUsage, fmt::format("two heads have the name {}", name),
                "rename the folder or the file of one");
  }
  if (head.token) {
    const bool others_guide = !model.heads.empty() || model.teacher != nullptr;
    if (others_guide && settings.template_mode != model.mode) {
      throw Error(ErrorCode::BadUsage,
                  fmt::format("{} was trained with another template than what guides beside it", path.string()),
                  "serve them apart");
    }
    model.mode = settings.template_mode;
    model.heads.emplace(name, std::make_shared<TokenTilt>(*head.token, *output_, 1.0));
    model.biases.emplace(name, std::make_shared<BiasTilt>(*head.token, *output_, 1.0));
  }
  ServedReward reward{path, std::move(head), nullptr, digest, record_beside(path, digest)};
  if (!how_.report.empty()) reward.record.report = read_report(how_.report);
  for (const auto& [other, served] : model.rewards) {
    if (served->scorer->extractor().settings() == settings) reward.scorer = served->scorer;
  }
  if (!reward.scorer) reward.scorer = std::make_shared<Scorer>(model.backbone, settings, how_.threads);
  model.rewards.emplace(name, std::make_shared<const ServedReward>(std::move(reward)));
}

void HeadLoader::reread(CurrentModel& model, Metrics& metrics) const {
  const auto refuse = [&](const std::string& name, std::string_view why) {
    metrics.head_refused();
    log_warning(fmt::format("the head {} stays what it was: {}", name, why));
  };
  const std::shared_ptr<const ServedModel> before = model.get();
  for (const auto& [name, served] : before->rewards) {
    try {
      if (hash_file(served->path) == served->digest) {
        log_line(fmt::format("the head {} is what it was", name));
        continue;
      }
      ServedModel with_new = *model.get();
      with_new.heads.erase(name);
      with_new.biases.erase(name);
      with_new.rewards.erase(name);
      add(served->path, with_new);
      model.replace(std::make_shared<const ServedModel>(std::move(with_new)));
      metrics.head_replaced();
      log_line(fmt::format("the head {} is the one of {} now", name, served->path.string()));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::Interrupted) throw;
      refuse(name, error.what());
    } catch (const std::bad_alloc&) {
      refuse(name, "there is no memory for another");
    } catch (const std::exception& error) {  // such as std::filesystem's
      refuse(name, error.what());
    }
  }
}

}  // namespace coala
