#include "serve/served_model.h"

namespace coala {

std::vector<std::string> ServedModel::names() const {
  std::vector<std::string> all{name};
  for (const auto& [head, tilt] : heads) all.push_back(name + "+" + head);
  return all;
}

}  // namespace coala
